/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-net (virtio 1.2, section 5.1): one pair of queues, no offloads. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_net.h>
#include "vmm/msg.h"
#include "vmm/net.h"
#include "vmm/virtio.h"
#include "vmm/virtio_devices.h"

enum { QUEUE_RX, QUEUE_TX, QUEUES };

#define MAC_LEN	   6
#define MIN_FRAME  14
#define HEADER_LEN sizeof(struct virtio_net_hdr_v1) /* always with num_buffers (5.1.6.1) */

struct virtio_net {
	struct virtio_dev dev;
	struct net_card card;
	struct net_end *end;
	struct virtq_buf rx, tx;
	u8 frame[NET_MAX_FRAME];
};

/* A frame for the guest; one too large for its buffer is dropped, as on a wire with that MTU. */
static bool net_receive(struct net_card *card, const u8 *frame, size_t len)
{
	static const struct virtio_net_hdr_v1 header = {.num_buffers = 1};
	struct virtio_net *net = container_of(card, struct virtio_net, card);
	struct virtio_dev *dev = &net->dev;

	if (!virtio_is_live(dev))
		return true; /* nobody there: lost */
	if (!virtio_pop(dev, QUEUE_RX, &net->rx))
		return !virtio_is_live(dev);
	if (net->rx.in_len < HEADER_LEN + len) {
		virtq_unpop(&dev->queue[QUEUE_RX]);
		return true;
	}
	virtq_buf_write(&net->rx, 0, &header, HEADER_LEN);
	virtq_buf_write(&net->rx, HEADER_LEN, frame, len);
	virtio_push(dev, QUEUE_RX, net->rx.head, HEADER_LEN + len);
	virtio_signal(dev, QUEUE_RX);
	return true;
}

static void net_transmit(struct virtio_net *net)
{
	size_t len = virtq_buf_read(&net->tx, HEADER_LEN, net->frame, sizeof(net->frame));

	if (len >= MIN_FRAME && len + HEADER_LEN == net->tx.out_len)
		net->end->ops->send(net->end, net->frame, len);
	virtio_push(&net->dev, QUEUE_TX, net->tx.head, 0);
}

static void net_kicked(struct virtio_dev *dev, unsigned queue)
{
	struct virtio_net *net = container_of(dev, struct virtio_net, dev);

	if (queue == QUEUE_RX) {
		net->end->ops->resume(net->end);
		return;
	}
	while (virtio_pop(dev, QUEUE_TX, &net->tx))
		net_transmit(net);
	virtio_signal(dev, QUEUE_TX);
}

static void net_destroy(struct virtio_dev *dev)
{
	struct virtio_net *net = container_of(dev, struct virtio_net, dev);

	if (net->end)
		net->end->ops->destroy(net->end);
	free(net);
}

static const struct virtio_ops net_ops = {.kicked = net_kicked, .destroy = net_destroy};

/* FNV-1a; the same guest name and card number give the same address (QEMU's prefix). */
static void net_default_mac(const struct board *board, u8 *mac)
{
	u32 h = 2166136261u;

	for (const char *p = board->name ? board->name : ""; *p; p++)
		h = (h ^ (u8)*p) * 16777619;
	h = (h ^ board->net_count) * 16777619;
	memcpy(mac, (u8[]){0x52, 0x54, 0x00, h >> 16, h >> 8, h}, MAC_LEN);
}

static int net_parse_mac(const char *text, size_t len, u8 *mac)
{
	char copy[18];
	int used = 0;

	if (len == sizeof(copy) - 1) {
		memcpy(copy, text, len);
		copy[len] = 0;
		if (sscanf(copy, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
			   &mac[3], &mac[4], &mac[5], &used) == MAC_LEN &&
		    used == (int)len && !(mac[0] & 1))
			return 0;
	}
	return msg_fail(-EINVAL, "mac= wants an address such as 52:54:00:12:34:56, not %.*s",
			(int)len, text);
}

/* Takes mac= out of the arguments; what is left, with the kind in front, goes to `rest`. */
static int net_parse_args(const char *args, u8 *mac, char *rest)
{
	int ret = 0;

	*rest = 0;
	while (*args && !ret) {
		size_t len = strcspn(args, ",");

		if (!strncmp(args, "mac=", 4)) {
			ret = net_parse_mac(args + 4, len - 4, mac);
		} else {
			if (*rest)
				strcat(rest, ",");
			strncat(rest, args, len);
		}
		args += len + (args[len] == ',');
	}
	return ret;
}

static int net_connect(struct virtio_net *net, const char *kind)
{
	net->card = (struct net_card){
		.loop = &net->dev.loop,
		.lock = &net->dev.lock,
		.receive = net_receive,
	};
	if (!strncmp(kind, "tap=", 4))
		return net_tap_create(&net->card, kind + 4, &net->end);
	if (!strcmp(kind, "user"))
		return net_user_create(&net->card, "", &net->end);
	if (!strncmp(kind, "user,", 5))
		return net_user_create(&net->card, kind + 5, &net->end);
	return msg_fail(-EINVAL, "--net wants user, tap=NAME or none, not %s", kind);
}

static int net_init(struct virtio_net *net, struct board *board, const char *args)
{
	struct virtio_net_config config = {.status = VIRTIO_NET_S_LINK_UP};
	char *kind = malloc(strlen(args) + 1);
	int ret;

	if (!kind)
		return -ENOMEM;
	net_default_mac(board, config.mac);
	ret = net_parse_args(args, config.mac, kind);
	if (!ret) {
		virtio_init(&net->dev, "virtio-net", VIRTIO_TYPE_NET, &net_ops,
			    BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS), QUEUES);
		net->dev.config_len = offsetof(struct virtio_net_config, max_virtqueue_pairs);
		memcpy(net->dev.config, &config, net->dev.config_len);
		ret = virtio_init_loop(&net->dev);
	}
	if (!ret)
		ret = net_connect(net, kind);
	free(kind);
	return ret;
}

int virtio_net_create(struct board *board, const char *args)
{
	struct virtio_net *net = calloc(1, sizeof(*net));
	int ret;

	if (!net)
		return -ENOMEM;
	ret = net_init(net, board, args);
	if (ret) {
		free(net);
		return ret;
	}
	board->net_count++;
	return virtio_attach(&net->dev, board);
}
