//! The program to which the kernel leads every program of a run. It starts the emulator with what
//! `binfmt_misc` cannot say: which processor. Environment variables would say it, too, but a
//! program that starts others without them would leave the processor.

use crate::elf;

/// ```text
/// mov  (%rsp),%rbx             # how many arguments: starter, path, name, arguments of the program
/// lea  8(%rsp),%rbp            # the arguments
/// lea  8(%rbp,%rbx,8),%r12     # the environment
/// lea  ROOM(%rbx),%rax         # room for the emulator's
/// shl  $3,%rax
/// sub  %rax,%rsp
/// and  $-16,%rsp
/// mov  %rsp,%rdi
/// mov  $TABLE,%esi             # the emulator and its options
/// mov  $COUNT,%ecx
/// cld
/// rep movsq
/// mov  16(%rbp),%rax           # the name
/// stosq
/// mov  8(%rbp),%rax            # the path
/// stosq
/// lea  24(%rbp),%rsi           # the rest, with the null at its end
/// lea  -2(%rbx),%rcx
/// rep movsq
/// mov  %rsp,%rsi
/// mov  (%rsp),%rdi
/// mov  %r12,%rdx
/// mov  $59,%eax                # execve
/// syscall
/// mov  $126,%edi
/// mov  $60,%eax                # exit
/// syscall
/// ```
const CODE: [&[u8]; 4] = [
    b"\x48\x8b\x1c\x24\x48\x8d\x6c\x24\x08\x4c\x8d\x64\xdd\x08\x48\x8d\x83",
    b"\x48\xc1\xe0\x03\x48\x29\xc4\x48\x83\xe4\xf0\x48\x89\xe7\xbe",
    b"\xb9",
    b"\xfc\xf3\x48\xa5\x48\x8b\x45\x10\x48\xab\x48\x8b\x45\x08\x48\xab\x48\x8d\x75\x18\
      \x48\x8d\x4b\xfe\xf3\x48\xa5\x48\x89\xe6\x48\x8b\x3c\x24\x4c\x89\xe2\xb8\x3b\0\0\0\
      \x0f\x05\xbf\x7e\0\0\0\xb8\x3c\0\0\0\x0f\x05",
];

/// The starter, which gives `arguments` and then name, path and arguments of the program to the
/// first of them.
pub(crate) fn starter(arguments: &[&str]) -> Vec<u8> {
    let count = arguments.len() as u32;
    let length = CODE.iter().map(|part| part.len()).sum::<usize>() + 3 * 4;
    let table = length.next_multiple_of(8);
    let address = |offset: usize| elf::CODE + offset as u64;
    let [first, second, third, last] = CODE;
    let mut code = first.to_vec();
    code.extend((count + 8).to_le_bytes());
    code.extend(second);
    code.extend((address(table) as u32).to_le_bytes());
    code.extend(third);
    code.extend(count.to_le_bytes());
    code.extend(last);
    code.resize(table, 0);
    let mut at = table + arguments.len() * 8;
    for argument in arguments {
        code.extend(address(at).to_le_bytes());
        at += argument.len() + 1;
    }
    for argument in arguments {
        code.extend(argument.as_bytes());
        code.push(0);
    }
    elf::program(elf::AMD64, &code)
}
