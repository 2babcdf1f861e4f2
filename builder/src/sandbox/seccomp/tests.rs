//! The table is run here as the kernel would run it.

use super::DEFAULT;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const KILL_PROCESS: u32 = 0x8000_0000;

/// The answer to one call.
fn answer_on(arch: u32, number: i64, arguments: &[u64]) -> u32 {
    let mut data = [0u8; 64];
    data[..4].copy_from_slice(&(number as u32).to_le_bytes());
    data[4..8].copy_from_slice(&arch.to_le_bytes());
    for (slot, argument) in data[16..].chunks_exact_mut(8).zip(arguments) {
        slot.copy_from_slice(&argument.to_le_bytes());
    }
    let (mut at, mut accumulator) = (0usize, 0u32);
    loop {
        let instruction = &DEFAULT[at];
        let k = instruction.k;
        at += 1;
        let jump = |holds: bool| usize::from(if holds { instruction.jt } else { instruction.jf });
        match instruction.code {
            0x20 => accumulator = u32::from_le_bytes(data[k as usize..k as usize + 4].try_into().unwrap()),
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            0x06 => return k,
            code => panic!("instruction {code:#x} at {}", at - 1),
        }
    }
}

fn answer(number: i64, arguments: &[u64]) -> u32 {
    answer_on(NATIVE, number, arguments)
}

#[test]
fn ordinary_calls_are_allowed() {
    for number in [
        libc::SYS_read,
        libc::SYS_openat,
        libc::SYS_execve,
        libc::SYS_chroot,
        libc::SYS_ptrace,
        libc::SYS_statx,
    ] {
        assert_eq!(answer(number, &[]), ALLOW, "{number}");
    }
}

#[test]
fn what_needs_other_capabilities_is_refused() {
    for number in [
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_bpf,
        libc::SYS_io_uring_setup,
        libc::SYS_open_by_handle_at,
        libc::SYS_reboot,
        libc::SYS_kexec_load,
        libc::SYS_init_module,
        libc::SYS_userfaultfd,
        libc::SYS_pivot_root,
        libc::SYS_fsopen,
    ] {
        assert_eq!(answer(number, &[]), EPERM, "{number}");
    }
}

#[test]
fn what_programs_fall_back_from_does_not_exist() {
    assert_eq!(answer(libc::SYS_clone3, &[]), ENOSYS);
    for number in [600, 0x4000_0000, 0x4000_0000 + 59, 0xffff_ffff] {
        assert_eq!(answer(number, &[]), ENOSYS, "{number:#x}");
    }
}

#[test]
fn arguments_are_looked_at() {
    let thread = u64::from(libc::CLONE_VM as u32 | libc::CLONE_THREAD as u32);
    assert_eq!(answer(libc::SYS_clone, &[thread]), ALLOW);
    for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET, libc::CLONE_NEWCGROUP] {
        assert_eq!(answer(libc::SYS_clone, &[thread | flag as u32 as u64]), EPERM, "{flag:#x}");
    }
    for (family, want) in [(1, ALLOW), (2, ALLOW), (38, EPERM), (39, ALLOW), (40, EPERM), (41, ALLOW)] {
        assert_eq!(answer(libc::SYS_socket, &[family]), want, "{family}");
        // The kernel looks at 32 bits, so the filter must not see more.
        assert_eq!(answer(libc::SYS_socket, &[family | 1 << 32]), want, "{family}");
    }
    for (domain, want) in [(0, ALLOW), (8, ALLOW), (0xffff_ffff, ALLOW), (0x40000, EPERM), (1, EPERM)] {
        assert_eq!(answer(libc::SYS_personality, &[domain]), want, "{domain:#x}");
    }
}

#[test]
fn the_32_bit_table_of_the_same_machine_is_known() {
    // (architecture, write, mount, clone3): numbers of linux/arch/{x86,arm}.
    let (arch, write, mount, clone3) =
        if cfg!(target_arch = "x86_64") { (0x4000_0003, 4, 21, 435) } else { (0x4000_0028, 4, 21, 435) };
    assert_eq!(answer_on(arch, write, &[]), ALLOW);
    assert_eq!(answer_on(arch, mount, &[]), EPERM);
    assert_eq!(answer_on(arch, clone3, &[]), ENOSYS);
    assert_eq!(answer_on(arch, 600, &[]), ENOSYS);
}

#[test]
fn other_machines_are_killed() {
    assert_eq!(answer_on(0x8000_0016, 1, &[]), KILL_PROCESS);
}

#[test]
fn every_number_has_an_answer() {
    for number in -1..1000 {
        let answer = answer(number, &[0; 6]);
        assert!([ALLOW, EPERM, ENOSYS].contains(&answer), "{number}: {answer:#x}");
    }
}
