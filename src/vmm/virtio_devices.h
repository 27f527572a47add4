/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtio devices of device.c's table: each makes one from its arguments, see `nestkvm run`. */
#ifndef VMM_VIRTIO_DEVICES_H
#define VMM_VIRTIO_DEVICES_H

#include "vmm/device.h"

/* FILE[,ro]: a disk on a raw image or a block device. */
int virtio_blk_create(struct board *board, const char *args);
/* user[,mac=..][,hostfwd=..]... or tap=NAME[,mac=..]: an Ethernet card. */
int virtio_net_create(struct board *board, const char *args);
/* The console hvc0, which takes the terminal. */
int virtio_console_create(struct board *board, const char *args);
/* A random number generator. */
int virtio_rng_create(struct board *board, const char *args);
/* CID[,path=SOCKET]: sockets between guest and host. */
int virtio_vsock_create(struct board *board, const char *args);

#endif
