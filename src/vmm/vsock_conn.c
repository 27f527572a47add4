/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "vmm/vsock.h"

#define GREETING     "CONNECT "
#define GREETING_MAX 32
#define FIRST_PORT   0x40000000u /* of the host's ends: away from services */

static bool conn_is_guests(const struct vsock_conn *conn)
{
	return conn->state == VSOCK_CONNECTING || conn->state == VSOCK_OPEN;
}

void vsock_init(struct vsock *vsock, u64 guest_cid, const char *path)
{
	memset(vsock, 0, sizeof(*vsock));
	vsock->guest_cid = guest_cid;
	vsock->path = path;
	vsock->next_port = FIRST_PORT;
	for (unsigned i = 0; i < VSOCK_MAX_CONNS; i++)
		vsock->conn[i] = (struct vsock_conn){.vsock = vsock, .fd = -1};
}

void vsock_conn_close(struct vsock_conn *conn)
{
	struct vsock *vsock = conn->vsock;

	if (conn->state == VSOCK_FREE)
		return;
	if (vsock->forget)
		vsock->forget(vsock, conn);
	close(conn->fd);
	free(conn->out);
	*conn = (struct vsock_conn){.vsock = vsock, .fd = -1};
}

void vsock_close_all(struct vsock *vsock)
{
	for (unsigned i = 0; i < VSOCK_MAX_CONNS; i++)
		vsock_conn_close(&vsock->conn[i]);
	vsock->reset_count = 0;
}

struct vsock_conn *vsock_accept(struct vsock *vsock, int fd)
{
	for (unsigned i = 0; i < VSOCK_MAX_CONNS; i++) {
		struct vsock_conn *conn = &vsock->conn[i];

		if (conn->state != VSOCK_FREE)
			continue;
		conn->out = malloc(VSOCK_BUFFER);
		if (!conn->out)
			break;
		conn->state = VSOCK_GREETING;
		conn->fd = fd;
		return conn;
	}
	close(fd);
	return NULL;
}

/* -- the host's socket ------------------------------------------------------------------------- */

static struct vsock_conn *vsock_find(struct vsock *vsock, u32 guest_port, u32 host_port)
{
	for (unsigned i = 0; i < VSOCK_MAX_CONNS; i++) {
		struct vsock_conn *conn = &vsock->conn[i];

		if (conn_is_guests(conn) && conn->guest_port == guest_port &&
		    conn->host_port == host_port)
			return conn;
	}
	return NULL;
}

static u32 vsock_pick_port(struct vsock *vsock, u32 guest_port)
{
	do {
		vsock->next_port = MAX(vsock->next_port + 1, FIRST_PORT);
	} while (vsock_find(vsock, guest_port, vsock->next_port));
	return vsock->next_port;
}

/* "CONNECT PORT\n"; what follows the line is the guest's and stays in the socket. */
static void conn_read_greeting(struct vsock_conn *conn)
{
	char line[GREETING_MAX + 1], *end, *stop;
	ssize_t n = recv(conn->fd, line, GREETING_MAX, MSG_PEEK);
	unsigned long port;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	line[MAX(n, 0)] = 0;
	end = strchr(line, '\n');
	if (n <= 0 || (!end && n == GREETING_MAX)) {
		vsock_conn_close(conn);
		return;
	}
	if (!end)
		return; /* more will come */
	errno = 0;
	port = strtoul(line + strlen(GREETING), &stop, 10);
	if (strncmp(line, GREETING, strlen(GREETING)) || stop != end ||
	    stop == line + strlen(GREETING) || errno || port > 0xfffffffe ||
	    recv(conn->fd, line, end - line + 1, 0) != end - line + 1) {
		vsock_conn_close(conn);
		return;
	}
	conn->guest_port = port;
	conn->host_port = vsock_pick_port(conn->vsock, port);
	conn->state = VSOCK_CONNECTING;
	conn->want_request = true;
}

/* The guest learns about room when it would otherwise think that half of the buffer is taken. */
static void conn_check_credit(struct vsock_conn *conn)
{
	if (conn->forwarded != conn->told && conn->received - conn->told > VSOCK_BUFFER / 2)
		conn->want_credit = true;
}

/* What the guest has shut down takes effect when everything before it is written. */
static void conn_check_shutdown(struct vsock_conn *conn)
{
	if (conn->out_len)
		return;
	if (conn->state == VSOCK_DRAINING) {
		vsock_conn_close(conn);
		return;
	}
	if (conn->guest_shut == VSOCK_SHUT_BOTH)
		conn->want_rst = true;
	if ((conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) && !conn->write_shut) {
		shutdown(conn->fd, SHUT_WR);
		conn->write_shut = true;
	}
}

static void conn_hang_up(struct vsock_conn *conn)
{
	conn->hup = true;
	conn->out_len = 0; /* nobody reads it */
	conn->readable = true;
	if (conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV)
		conn->eof = true; /* nor what is left in the socket */
	if (conn->state == VSOCK_CONNECTING)
		conn->want_rst = true;
	if (conn->state == VSOCK_GREETING)
		vsock_conn_close(conn);
	else
		conn_check_shutdown(conn);
}

static void conn_write(struct vsock_conn *conn)
{
	while (conn->out_len) {
		ssize_t n = send(conn->fd, conn->out + conn->out_off, conn->out_len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			conn_hang_up(conn);
			return;
		}
		conn->out_off += n;
		conn->out_len -= n;
		conn->forwarded += n;
	}
	if (!conn->out_len)
		conn->out_off = 0;
	conn_check_credit(conn);
	conn_check_shutdown(conn);
}

void vsock_conn_ready(struct vsock_conn *conn)
{
	struct pollfd p = {.fd = conn->fd, .events = POLLIN | POLLOUT};

	if (conn->state == VSOCK_FREE || poll(&p, 1, 0) < 0)
		return; /* the event was for an earlier connection */
	if (conn->state == VSOCK_GREETING && (p.revents & POLLIN))
		conn_read_greeting(conn);
	if (conn->state == VSOCK_FREE)
		return;
	if (p.revents & (POLLHUP | POLLERR)) {
		conn_hang_up(conn);
		return;
	}
	if (p.revents & POLLIN)
		conn->readable = true;
	if ((p.revents & POLLOUT) && conn->state != VSOCK_GREETING)
		conn_write(conn);
}

/* Bytes that the guest has room for; its numbers may be anything. */
static u32 conn_credit(const struct vsock_conn *conn)
{
	u32 in_flight = conn->sent - conn->guest_forwarded;

	return in_flight < conn->guest_alloc ? conn->guest_alloc - in_flight : 0;
}

static bool conn_may_send(const struct vsock_conn *conn)
{
	return conn->state == VSOCK_OPEN && !conn->eof &&
	       !(conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV);
}

u32 vsock_conn_events(const struct vsock_conn *conn, bool *watch)
{
	u32 events = 0;

	*watch = conn->state != VSOCK_FREE && !conn->hup;
	if (conn->state == VSOCK_GREETING)
		return EPOLLIN;
	if (conn_may_send(conn) && !conn->readable && conn_credit(conn))
		events |= EPOLLIN;
	if (conn->out_len)
		events |= EPOLLOUT;
	return events;
}

/* -- packets for the guest --------------------------------------------------------------------- */

static u8 conn_shutdown_due(const struct vsock_conn *conn)
{
	u8 due = 0;

	if (conn->eof)
		due = VIRTIO_VSOCK_SHUTDOWN_SEND | (conn->hup ? VIRTIO_VSOCK_SHUTDOWN_RCV : 0);
	return due & ~conn->shut_sent;
}

static bool conn_has_packet(const struct vsock_conn *conn)
{
	if (!conn_is_guests(conn))
		return false;
	return conn->want_rst || conn->want_request || conn->want_response || conn->want_credit ||
	       (conn->readable && conn_may_send(conn) && conn_credit(conn)) ||
	       (conn->state == VSOCK_OPEN && conn_shutdown_due(conn));
}

bool vsock_has_packet(const struct vsock *vsock)
{
	if (vsock->reset_count)
		return true;
	for (unsigned i = 0; i < VSOCK_MAX_CONNS; i++)
		if (conn_has_packet(&vsock->conn[i]))
			return true;
	return false;
}

static struct virtio_vsock_hdr conn_header(struct vsock_conn *conn, u16 op)
{
	conn->told = conn->forwarded;
	conn->want_credit = false;
	return (struct virtio_vsock_hdr){
		.src_cid = VSOCK_HOST_CID,
		.dst_cid = conn->vsock->guest_cid,
		.src_port = conn->host_port,
		.dst_port = conn->guest_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = VSOCK_BUFFER,
		.fwd_cnt = conn->forwarded,
	};
}

static u32 conn_put(struct vsock_conn *conn, const struct virtq_buf *buf, u16 op, u32 flags)
{
	struct virtio_vsock_hdr hdr = conn_header(conn, op);

	hdr.flags = flags;
	return virtq_buf_write(buf, 0, &hdr, sizeof(hdr));
}

/* Reads from the socket right into the guest's buffer. */
static u32 conn_put_data(struct vsock_conn *conn, const struct virtq_buf *buf)
{
	struct iovec iov[VIRTQ_MAX_IOV];
	u64 room = MIN(buf->in_len - VSOCK_HEADER, (u64)conn_credit(conn));
	unsigned count =
		virtq_iov_slice(buf->in, buf->in_count, VSOCK_HEADER, MIN(room, 65536ull), iov);
	struct virtio_vsock_hdr hdr;
	ssize_t n;

	if (!count)
		return 0;
	n = readv(conn->fd, iov, count);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0) {
		conn->readable = false;
		conn->eof = n == 0 || errno != EAGAIN;
		return 0;
	}
	hdr = conn_header(conn, VIRTIO_VSOCK_OP_RW);
	hdr.len = n;
	conn->sent += n;
	return virtq_buf_write(buf, 0, &hdr, sizeof(hdr)) + n;
}

static u32 conn_put_shutdown(struct vsock_conn *conn, const struct virtq_buf *buf)
{
	u32 n;

	conn->shut_sent |= conn_shutdown_due(conn);
	n = conn_put(conn, buf, VIRTIO_VSOCK_OP_SHUTDOWN, conn->shut_sent);
	if (conn->shut_sent == VSOCK_SHUT_BOTH)
		vsock_conn_close(conn); /* whatever the guest still says is answered by a reset */
	return n;
}

static u32 conn_fill(struct vsock_conn *conn, const struct virtq_buf *buf)
{
	u32 n;

	if (conn->want_rst) {
		n = conn_put(conn, buf, VIRTIO_VSOCK_OP_RST, 0);
		vsock_conn_close(conn);
		return n;
	}
	if (conn->want_request) {
		conn->want_request = false;
		return conn_put(conn, buf, VIRTIO_VSOCK_OP_REQUEST, 0);
	}
	if (conn->want_response) {
		conn->want_response = false;
		return conn_put(conn, buf, VIRTIO_VSOCK_OP_RESPONSE, 0);
	}
	if (conn->readable && conn_may_send(conn) && conn_credit(conn)) {
		n = conn_put_data(conn, buf);
		if (n)
			return n;
	}
	if (conn->state == VSOCK_OPEN && conn_shutdown_due(conn))
		return conn_put_shutdown(conn, buf);
	return conn->want_credit ? conn_put(conn, buf, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0) : 0;
}

static u32 vsock_put_reset(struct vsock *vsock, const struct virtq_buf *buf)
{
	struct vsock_reset *reset = &vsock->reset[--vsock->reset_count];
	struct virtio_vsock_hdr hdr = {
		.src_cid = VSOCK_HOST_CID,
		.dst_cid = vsock->guest_cid,
		.src_port = reset->host_port,
		.dst_port = reset->guest_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = VIRTIO_VSOCK_OP_RST,
	};

	return virtq_buf_write(buf, 0, &hdr, sizeof(hdr));
}

/* The connections take turns. */
u32 vsock_fill(struct vsock *vsock, const struct virtq_buf *buf)
{
	if (vsock->reset_count)
		return vsock_put_reset(vsock, buf);
	for (unsigned i = 0; i < VSOCK_MAX_CONNS; i++) {
		struct vsock_conn *conn = &vsock->conn[vsock->next];

		vsock->next = (vsock->next + 1) % VSOCK_MAX_CONNS;
		if (conn_has_packet(conn))
			return conn_fill(conn, buf);
	}
	return 0;
}
