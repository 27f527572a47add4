/* SPDX-License-Identifier: BSD-2-Clause */
/* Entry in 64-bit mode with paging on, exception stubs, and the way into L2 and back. */
	.section .text.start, "ax"
	.global _start
_start:
	lea	stack_top(%rip), %rsp
	call	main
1:	hlt
	jmp	1b

	.text
/* unsigned vm_enter_asm(unsigned resume): VMX_* of a VMfail, 0 after a vmexit. */
	.global vm_enter_asm, vm_exit_asm
vm_enter_asm:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	$0x6c14, %ecx		/* host RSP */
	vmwrite	%rsp, %rcx
	test	%edi, %edi		/* ZF survives the MOVs */
	lea	l2(%rip), %rax
	mov	8(%rax), %rcx
	mov	16(%rax), %rdx
	mov	24(%rax), %rbx
	mov	32(%rax), %rbp
	mov	40(%rax), %rsi
	mov	48(%rax), %rdi
	mov	56(%rax), %r8
	mov	64(%rax), %r9
	mov	72(%rax), %r10
	mov	80(%rax), %r11
	mov	88(%rax), %r12
	mov	96(%rax), %r13
	mov	104(%rax), %r14
	mov	112(%rax), %r15
	mov	(%rax), %rax
	jnz	1f
	vmlaunch
	jmp	2f
1:	vmresume
2:	/* VMfail: flags to the result */
	mov	$0, %eax
	setc	%al
	setz	%ah
	movzbl	%ah, %ecx
	movzbl	%al, %eax
	lea	(%rax,%rcx,2), %eax
3:	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
vm_exit_asm:
	push	%rax
	lea	l2(%rip), %rax
	mov	%rcx, 8(%rax)
	mov	%rdx, 16(%rax)
	mov	%rbx, 24(%rax)
	mov	%rbp, 32(%rax)
	mov	%rsi, 40(%rax)
	mov	%rdi, 48(%rax)
	mov	%r8, 56(%rax)
	mov	%r9, 64(%rax)
	mov	%r10, 72(%rax)
	mov	%r11, 80(%rax)
	mov	%r12, 88(%rax)
	mov	%r13, 96(%rax)
	mov	%r14, 104(%rax)
	mov	%r15, 112(%rax)
	pop	%rcx
	mov	%rcx, (%rax)
	xor	%eax, %eax
	jmp	3b

/*
 * int catch_fault(void (*fn)(u64), u64 arg): fault_resume brings us back here with the vector in eax.
 */
	.global catch_fault, fault_return
catch_fault:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, fault_rsp(%rip)
	mov	%rdi, %rax
	mov	%rsi, %rdi
	call	*%rax
	mov	$-1, %eax
	jmp	1f
fault_return:
	mov	fault_rsp(%rip), %rsp
1:	movq	$0, fault_rsp(%rip)
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/* 256 stubs of 16 bytes: push an error code where the CPU does not, then the vector. */
	.balign	16
	.global	stubs
stubs:
	vector = 0
	.rept	256
	.balign	16
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push	$0
	.endif
	push	$vector
	jmp	stub_common
	vector = vector + 1
	.endr
stub_common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	mov	%rsp, %rdi
	cld
	call	handle_vector
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

/* L2's own handlers, of its own IDT: stubs of 16 bytes that tell L1 the vector (rax) and wait. */
	.balign	16
	.global	l2_stubs
l2_stubs:
	vector = 0
	.rept	256
	.balign	16
	mov	$vector, %eax
	vmcall
	jmp	l2_stub_return
	vector = vector + 1
	.endr
/* After the VMCALL L1 has set rbx to what is to be dropped from the stack: 8 for an error code. */
l2_stub_return:
	add	%rbx, %rsp
	iretq

	.bss
	.balign	16
	.global	l2_stack_top
	.space	16384
stack_top:
	.space	16384
l2_stack_top:
	.global	fault_rsp
fault_rsp:
	.space	8
	.section .note.GNU-stack, "", @progbits
