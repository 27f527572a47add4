/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets from the guest. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "vmm/vsock.h"

static void vsock_refuse(struct vsock *vsock, const struct virtio_vsock_hdr *hdr)
{
	/* A reset is never answered by one; of too many the guest has to do without some. */
	if (hdr->op == VIRTIO_VSOCK_OP_RST || vsock->reset_count == VSOCK_MAX_RESETS)
		return;
	vsock->reset[vsock->reset_count++] = (struct vsock_reset){
		.guest_port = hdr->src_port,
		.host_port = hdr->dst_port,
	};
}

static struct vsock_conn *vsock_find(struct vsock *vsock, const struct virtio_vsock_hdr *hdr)
{
	for (unsigned i = 0; i < VSOCK_MAX_CONNS; i++) {
		struct vsock_conn *c = &vsock->conn[i];

		if ((c->state == VSOCK_CONNECTING || c->state == VSOCK_OPEN) &&
		    c->guest_port == hdr->src_port && c->host_port == hdr->dst_port)
			return c;
	}
	return NULL;
}

/* Connects to the host program that listens at PATH_PORT; a descriptor or a negative errno. */
static int vsock_dial(const struct vsock *vsock, u32 port)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s_%u", vsock->path, port);

	if (n >= (int)sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	n = -errno;
	close(fd);
	return n;
}

static void vsock_on_request(struct vsock *vsock, const struct virtio_vsock_hdr *hdr)
{
	struct vsock_conn *conn = NULL;
	int fd = vsock_dial(vsock, hdr->dst_port);

	if (fd >= 0)
		conn = vsock_accept(vsock, fd);
	if (!conn) {
		vsock_refuse(vsock, hdr);
		return;
	}
	conn->state = VSOCK_OPEN;
	conn->guest_port = hdr->src_port;
	conn->host_port = hdr->dst_port;
	conn->guest_alloc = hdr->buf_alloc;
	conn->guest_forwarded = hdr->fwd_cnt;
	conn->want_response = true;
}

/* Bytes of ours (the greeting's answer) go the guest's way, but are not counted. */
static void conn_on_response(struct vsock_conn *conn)
{
	int n;

	if (conn->state != VSOCK_CONNECTING) {
		conn->want_rst = true;
		return;
	}
	conn->state = VSOCK_OPEN;
	n = snprintf((char *)conn->out, 32, "OK %u\n", conn->host_port);
	if (send(conn->fd, conn->out, n, MSG_NOSIGNAL) != n)
		conn->want_rst = true;
}

/* More than the guest was given room for is against the rules (5.10.6.3). */
static void conn_on_data(struct vsock_conn *conn, const struct virtq_buf *buf, u32 len)
{
	if (conn->state != VSOCK_OPEN || len > buf->out_len - VSOCK_HEADER ||
	    len > VSOCK_BUFFER - conn->out_len || (conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND)) {
		conn->want_rst = true;
		return;
	}
	conn->received += len;
	if (conn->hup) { /* nobody reads it; the guest will be told soon */
		conn->forwarded += len;
		return;
	}
	if (conn->out_off + conn->out_len + len > VSOCK_BUFFER) {
		memmove(conn->out, conn->out + conn->out_off, conn->out_len);
		conn->out_off = 0;
	}
	virtq_buf_read(buf, VSOCK_HEADER, conn->out + conn->out_off + conn->out_len, len);
	conn->out_len += len;
	vsock_conn_ready(conn);
}

static void conn_on_reset(struct vsock_conn *conn)
{
	if (conn->out_len && (conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND))
		conn->state = VSOCK_DRAINING;
	else
		vsock_conn_close(conn);
}

static void conn_receive(struct vsock_conn *conn, const struct virtio_vsock_hdr *hdr,
			 const struct virtq_buf *buf)
{
	conn->guest_alloc = hdr->buf_alloc;
	conn->guest_forwarded = hdr->fwd_cnt;
	switch (hdr->op) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		conn_on_response(conn);
		break;
	case VIRTIO_VSOCK_OP_RST:
		conn_on_reset(conn);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		conn->guest_shut |= hdr->flags & VSOCK_SHUT_BOTH;
		vsock_conn_ready(conn);
		break;
	case VIRTIO_VSOCK_OP_RW:
		conn_on_data(conn, buf, hdr->len);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		conn->want_credit = true;
		break;
	default:
		conn->want_rst = true;
	}
}

void vsock_receive(struct vsock *vsock, const struct virtq_buf *buf)
{
	struct virtio_vsock_hdr hdr;
	struct vsock_conn *conn;

	if (virtq_buf_read(buf, 0, &hdr, sizeof(hdr)) < sizeof(hdr))
		return;
	if (hdr.src_cid != vsock->guest_cid || hdr.dst_cid != VSOCK_HOST_CID)
		return; /* no such way */
	conn = vsock_find(vsock, &hdr);
	if (hdr.type != VIRTIO_VSOCK_TYPE_STREAM)
		vsock_refuse(vsock, &hdr);
	else if (conn)
		conn_receive(conn, &hdr, buf);
	else if (hdr.op == VIRTIO_VSOCK_OP_REQUEST)
		vsock_on_request(vsock, &hdr);
	else
		vsock_refuse(vsock, &hdr);
}
