/* SPDX-License-Identifier: BSD-2-Clause */
/* The guests' process 1, carried inside the program. */
	.section .rodata
	.globl initramfs_init_start, initramfs_init_end
	.hidden initramfs_init_start, initramfs_init_end
	.balign 16
initramfs_init_start:
	.incbin GUEST_INIT
initramfs_init_end:
	.section .note.GNU-stack, "", @progbits
