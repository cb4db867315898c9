# Three ways in which libraries note what the processor has, as stripped programs show them: WAY
# 1: a branch out of the function, decided by what was noted.
# 2: a note that is written and read through its address.
# 3: a note that another function writes, to which its address is handed.
.section .note.GNU-stack,"",@progbits
.local notes
.comm notes,64,16
.text

.type wide,@function
wide:
.cfi_startproc
    vpaddd %ymm0,%ymm0,%ymm0
    vpermq $1,%ymm0,%ymm0
    vzeroupper
    ret
.cfi_endproc
.size wide,.-wide

.type ask,@function
ask:
.cfi_startproc
    push %rbx
.cfi_adjust_cfa_offset 8
    mov $7,%eax
    xor %ecx,%ecx
    cpuid
.if WAY == 3
    mov %ebx,8(%rdi)
.endif
    mov %ebx,%eax
    pop %rbx
.cfi_adjust_cfa_offset -8
    ret
.cfi_endproc
.size ask,.-ask

# What would make the function long enough not to be taken for one that only answers.
.macro long
    .rept 40
    add $1,%r8
    .endr
.endm

.type setup,@function
setup:
.cfi_startproc
    sub $8,%rsp
.cfi_adjust_cfa_offset 8
.if WAY == 3
    lea notes(%rip),%rdi
.endif
    call ask
.if WAY == 1
    mov %eax,notes(%rip)
.endif
.if WAY == 2
    lea notes(%rip),%rdx
    mov %eax,(%rdx)
.endif
    add $8,%rsp
.cfi_adjust_cfa_offset -8
    ret
.cfi_endproc
.size setup,.-setup

.type work,@function
work:
.cfi_startproc
    long
    cmp $0,%rdi
    je 1f
.if WAY == 2
    lea notes(%rip),%rdx
    mov (%rdx),%eax
.elseif WAY == 3
    mov notes+8(%rip),%eax
.else
    mov notes(%rip),%eax
.endif
    test $0x20,%eax
.if WAY == 1
    jnz wide
.else
    jz 1f
    jmp wide
.endif
1:  movaps %xmm0,%xmm1
    ret
.cfi_endproc
.size work,.-work

.globl main
.type main,@function
main:
.cfi_startproc
    sub $8,%rsp
.cfi_adjust_cfa_offset 8
    call setup
    mov $1,%edi
    call work
    xor %eax,%eax
    add $8,%rsp
.cfi_adjust_cfa_offset -8
    ret
.cfi_endproc
.size main,.-main
