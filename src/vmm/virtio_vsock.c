/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-vsock (virtio 1.2, section 5.10) with Unix sockets at the host's side. A host program
 * connects to PATH and says "CONNECT PORT\n"; the answer is "OK PORT\n", then comes the guest. What
 * the guest connects to, port P of CID 2, is the Unix socket PATH_P.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "vmm/msg.h"
#include "vmm/virtio.h"
#include "vmm/virtio_devices.h"
#include "vmm/vsock.h"

enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT, QUEUES };

#define MIN_CID 3 /* lower ones have meanings of their own */

struct virtio_vsock {
	struct virtio_dev dev;
	struct vsock vsock;
	int listen_fd;
	struct sockaddr_un addr;
	struct virtq_buf rx, tx;
};

static void vsock_on_socket(void *opaque, u32 events);

static void vsock_watch(struct virtio_vsock *v, struct vsock_conn *conn)
{
	bool watch;
	u32 events = vsock_conn_events(conn, &watch);

	if (watch && !conn->in_loop) {
		conn->in_loop = !loop_add(&v->dev.loop, conn->fd, events, vsock_on_socket, conn);
		if (!conn->in_loop)
			vsock_conn_close(conn);
	} else if (watch && events != conn->watched) {
		loop_modify(&v->dev.loop, conn->fd, events);
	} else if (!watch && conn->in_loop) {
		loop_remove(&v->dev.loop, conn->fd); /* a hang-up would be reported for ever */
		conn->in_loop = false;
	}
	conn->watched = events;
}

static void vsock_forget(struct vsock *vsock, struct vsock_conn *conn)
{
	struct virtio_vsock *v = container_of(vsock, struct virtio_vsock, vsock);

	if (conn->in_loop)
		loop_remove(&v->dev.loop, conn->fd);
}

/* Sends what there is for the guest while it has buffers, then sees what to wait for. */
static void vsock_pump(struct virtio_vsock *v)
{
	struct virtio_dev *dev = &v->dev;

	while (vsock_has_packet(&v->vsock) && virtio_pop(dev, QUEUE_RX, &v->rx)) {
		u32 n;

		if (v->rx.in_len <= VSOCK_HEADER) {
			virtio_break(dev);
			break;
		}
		n = vsock_fill(&v->vsock, &v->rx);
		if (n)
			virtio_push(dev, QUEUE_RX, v->rx.head, n);
		else
			virtq_unpop(&dev->queue[QUEUE_RX]);
	}
	virtio_signal(dev, QUEUE_RX);
	for (unsigned i = 0; i < VSOCK_MAX_CONNS; i++)
		vsock_watch(v, &v->vsock.conn[i]);
}

static void vsock_on_socket(void *opaque, u32 events)
{
	struct vsock_conn *conn = opaque;
	struct virtio_vsock *v = container_of(conn->vsock, struct virtio_vsock, vsock);

	pthread_mutex_lock(&v->dev.lock);
	vsock_conn_ready(conn);
	vsock_pump(v);
	pthread_mutex_unlock(&v->dev.lock);
}

static void vsock_on_client(void *opaque, u32 events)
{
	struct virtio_vsock *v = opaque;
	int fd = accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	pthread_mutex_lock(&v->dev.lock);
	if (virtio_is_live(&v->dev))
		vsock_accept(&v->vsock, fd);
	else
		close(fd); /* there is no guest yet */
	vsock_pump(v);
	pthread_mutex_unlock(&v->dev.lock);
}

static void vsock_kicked(struct virtio_dev *dev, unsigned queue)
{
	struct virtio_vsock *v = container_of(dev, struct virtio_vsock, dev);

	while (queue == QUEUE_TX && virtio_pop(dev, QUEUE_TX, &v->tx)) {
		vsock_receive(&v->vsock, &v->tx);
		virtio_push(dev, QUEUE_TX, v->tx.head, 0);
		/* Answers go out before more is taken in, so that refusals do not pile up. */
		if (v->vsock.reset_count)
			vsock_pump(v);
	}
	virtio_signal(dev, QUEUE_TX);
	vsock_pump(v);
}

static void vsock_reset(struct virtio_dev *dev)
{
	vsock_close_all(&container_of(dev, struct virtio_vsock, dev)->vsock);
}

static void vsock_destroy(struct virtio_dev *dev)
{
	struct virtio_vsock *v = container_of(dev, struct virtio_vsock, dev);

	v->vsock.forget = NULL; /* the loop is gone */
	vsock_close_all(&v->vsock);
	if (v->listen_fd >= 0) {
		close(v->listen_fd);
		unlink(v->addr.sun_path);
	}
	free(v);
}

static const struct virtio_ops vsock_ops = {vsock_kicked, vsock_reset, vsock_destroy};

/* A socket file that nobody listens at is left from an earlier run. */
static void vsock_remove_stale(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (lstat(addr->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 && errno == ECONNREFUSED)
		unlink(addr->sun_path);
	close(fd);
}

static int vsock_listen(struct virtio_vsock *v)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	vsock_remove_stale(&v->addr);
	if (bind(fd, (struct sockaddr *)&v->addr, sizeof(v->addr)) < 0 || listen(fd, 16) < 0) {
		int err = -errno;

		close(fd);
		return msg_fail(err, "cannot listen at %s: %s", v->addr.sun_path, strerror(-err));
	}
	v->listen_fd = fd;
	return loop_add(&v->dev.loop, fd, EPOLLIN, vsock_on_client, v);
}

static int vsock_set_path(struct virtio_vsock *v, u64 cid, const char *path)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	size_t room = sizeof(v->addr.sun_path);
	int n;

	v->addr.sun_family = AF_UNIX;
	if (path)
		n = snprintf(v->addr.sun_path, room, "%s", path);
	else
		n = snprintf(v->addr.sun_path, room, "%s/nestkvm-vsock-%llu",
			     dir && *dir ? dir : "/tmp", (unsigned long long)cid);
	if (n + 11 >= (int)room) /* "_" and a port come behind it */
		return msg_fail(-ENAMETOOLONG, "the path of the virtio socket is too long");
	return 0;
}

/* "CID" or "CID,path=SOCKET". */
static int vsock_parse(struct virtio_vsock *v, const char *args, u64 *cid)
{
	const char *path = NULL;
	char *end;

	*cid = strtoull(args, &end, 10);
	if (!strncmp(end, ",path=", 6) && end[6])
		path = end + 6;
	else if (*end)
		end = (char *)args;
	if (end == args || *cid < MIN_CID || *cid >= 0xffffffff)
		return msg_fail(-EINVAL,
				"--vsock wants CID[,path=SOCKET], a CID from %d up, not %s",
				MIN_CID, args);
	return vsock_set_path(v, *cid, path);
}

static int vsock_setup(struct virtio_vsock *v, const char *args)
{
	u64 cid;
	int ret = vsock_parse(v, args, &cid);

	if (ret)
		return ret;
	virtio_init(&v->dev, "virtio-vsock", VIRTIO_TYPE_VSOCK, &vsock_ops, 0, QUEUES);
	memcpy(v->dev.config, &cid, sizeof(cid));
	v->dev.config_len = sizeof(cid);
	vsock_init(&v->vsock, cid, v->addr.sun_path);
	v->vsock.forget = vsock_forget;
	ret = virtio_init_loop(&v->dev);
	if (!ret)
		ret = vsock_listen(v);
	return ret;
}

int virtio_vsock_create(struct board *board, const char *args)
{
	struct virtio_vsock *v = calloc(1, sizeof(*v));
	int ret;

	if (!v)
		return -ENOMEM;
	v->listen_fd = -1;
	ret = vsock_setup(v, args);
	if (ret) {
		free(v);
		return ret;
	}
	msg_info("virtio socket of CID %s at %s", args, v->addr.sun_path);
	return virtio_attach(&v->dev, board);
}
