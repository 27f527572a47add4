/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stream connections between ports of the guest and Unix sockets of the host: what a virtio socket
 * device (virtio 1.2, section 5.10) keeps about each, and its rules. No threads, no queues here:
 * virtio_vsock.c brings packets from the guest, and takes away those for it, under its lock.
 */
#ifndef VMM_VSOCK_H
#define VMM_VSOCK_H

#include <linux/virtio_vsock.h>
#include "vmm/virtio_queue.h"

#define VSOCK_HOST_CID	2
#define VSOCK_MAX_CONNS 256
#define VSOCK_BUFFER	65536 /* bytes of the guest that may wait for the host's reader */
#define VSOCK_HEADER	sizeof(struct virtio_vsock_hdr)
#define VSOCK_SHUT_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

enum vsock_state {
	VSOCK_FREE,
	VSOCK_GREETING,	  /* a host program has connected and says CONNECT PORT */
	VSOCK_CONNECTING, /* the guest has been asked */
	VSOCK_OPEN,
	VSOCK_DRAINING, /* over for the guest; what it sent is still being written */
};

struct vsock;

/* A connection. The array of them lives as long as the device, so a late event finds a slot. */
struct vsock_conn {
	struct vsock *vsock;
	enum vsock_state state;
	int fd;
	u32 guest_port, host_port;

	/* Packets that wait for a buffer of the guest's. */
	bool want_request, want_response, want_rst, want_credit;

	/* From the host to the guest. */
	bool readable;			  /* the socket may have data or its end */
	bool eof, hup;			  /* the host program has stopped sending; has closed */
	u8 shut_sent;			  /* VIRTIO_VSOCK_SHUTDOWN_* that the guest was told */
	u32 sent;			  /* bytes, modulo 2^32, as all counts here */
	u32 guest_alloc, guest_forwarded; /* the guest's buffer, and what it took out */

	/* From the guest to the host. */
	u8 guest_shut; /* what the guest has told us */
	bool write_shut;
	u32 received, forwarded, told; /* `told`: the last value of `forwarded` in a packet */
	u8 *out;		       /* VSOCK_BUFFER bytes */
	u32 out_off, out_len;

	u32 watched; /* EPOLL* that the loop waits for */
	bool in_loop;
};

/* A refusal of a packet that belongs to no connection. */
struct vsock_reset {
	u32 guest_port, host_port;
};

#define VSOCK_MAX_RESETS 64

struct vsock {
	u64 guest_cid;
	const char *path; /* of the host's socket; guest ports are at PATH_PORT */
	u32 next_port;	  /* for the host's ends */
	unsigned next;	  /* whose turn it is */
	unsigned reset_count;
	struct vsock_reset reset[VSOCK_MAX_RESETS];
	struct vsock_conn conn[VSOCK_MAX_CONNS];
	/* Stops watching a connection's socket, which is about to be closed. */
	void (*forget)(struct vsock *vsock, struct vsock_conn *conn);
};

/* Starts with no connections. */
void vsock_init(struct vsock *vsock, u64 guest_cid, const char *path);
/* Closes all connections, as after a reset of the device. */
void vsock_close_all(struct vsock *vsock);
/* A host program has connected: takes over `fd` (nonblocking). NULL, with fd closed, when full. */
struct vsock_conn *vsock_accept(struct vsock *vsock, int fd);

/* A packet from the guest, `buf`'s readable part. */
void vsock_receive(struct vsock *vsock, const struct virtq_buf *buf);
/* Whether there may be something to send to the guest. */
bool vsock_has_packet(const struct vsock *vsock);
/*
 * Fills `buf`'s writable part (at least VSOCK_HEADER bytes) with a packet; returns its length, 0
 * when there was none after all.
 */
u32 vsock_fill(struct vsock *vsock, const struct virtq_buf *buf);

/* The socket may be ready: looks, reads a greeting, writes what waits. */
void vsock_conn_ready(struct vsock_conn *conn);
/* What the loop should wait for; *watch is false when nothing more is to be learnt from it. */
u32 vsock_conn_events(const struct vsock_conn *conn, bool *watch);
/* Ends a connection at once; tells the guest nothing. */
void vsock_conn_close(struct vsock_conn *conn);

#endif
