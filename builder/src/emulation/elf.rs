//! The processors that are known: their numbers in ELF files, and their shortest program.

/// A processor.
#[derive(Debug)]
pub(super) struct Machine {
    /// As platforms name it.
    pub(super) architecture: &'static str,
    /// As qemu names it.
    pub(super) qemu: &'static str,
    /// 64 bits wide; otherwise 32.
    wide: bool,
    /// The most significant byte first.
    big_endian: bool,
    /// `e_machine`.
    number: u16,
    /// `e_flags`: the calling convention.
    flags: u32,
    /// Instructions for `exit(0)`.
    exit: &'static [u8],
}

#[rustfmt::skip]
const MACHINES: [Machine; 9] = [
    // xor edi, edi; mov eax, 60; syscall
    Machine { architecture: "amd64", qemu: "x86_64", wide: true, big_endian: false, number: 62, flags: 0,
        exit: &[0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05] },
    // xor ebx, ebx; mov eax, 1; int 0x80
    Machine { architecture: "386", qemu: "i386", wide: false, big_endian: false, number: 3, flags: 0,
        exit: &[0x31, 0xdb, 0xb8, 1, 0, 0, 0, 0xcd, 0x80] },
    // mov x0, 0; mov x8, 93; svc 0
    Machine { architecture: "arm64", qemu: "aarch64", wide: true, big_endian: false, number: 183, flags: 0,
        exit: &[0x00, 0x00, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4] },
    // mov r0, 0; mov r7, 1; svc 0 (version 5 of the EABI)
    Machine { architecture: "arm", qemu: "arm", wide: false, big_endian: false, number: 40, flags: 0x0500_0000,
        exit: &[0x00, 0x00, 0xa0, 0xe3, 0x01, 0x70, 0xa0, 0xe3, 0x00, 0x00, 0x00, 0xef] },
    // li a0, 0; li a7, 93; ecall
    Machine { architecture: "riscv64", qemu: "riscv64", wide: true, big_endian: false, number: 243, flags: 5,
        exit: &[0x13, 0x05, 0x00, 0x00, 0x93, 0x08, 0xd0, 0x05, 0x73, 0x00, 0x00, 0x00] },
    // li 3, 0; li 0, 1; sc (version 2 of the ABI)
    Machine { architecture: "ppc64le", qemu: "ppc64le", wide: true, big_endian: false, number: 21, flags: 2,
        exit: &[0x00, 0x00, 0x60, 0x38, 0x01, 0x00, 0x00, 0x38, 0x02, 0x00, 0x00, 0x44] },
    // lghi %r2, 0; svc 1
    Machine { architecture: "s390x", qemu: "s390x", wide: true, big_endian: true, number: 22, flags: 0,
        exit: &[0xa7, 0x29, 0x00, 0x00, 0x0a, 0x01] },
    // li a0, 0; li v0, 5058; syscall (the second release of 64 bits)
    Machine { architecture: "mips64le", qemu: "mips64el", wide: true, big_endian: false, number: 8, flags: 0x8000_0007,
        exit: &[0x00, 0x00, 0x04, 0x24, 0xc2, 0x13, 0x02, 0x24, 0x0c, 0x00, 0x00, 0x00] },
    // addi.w a0, zero, 0; addi.w a7, zero, 93; syscall 0
    Machine { architecture: "loong64", qemu: "loongarch64", wide: true, big_endian: false, number: 258, flags: 0x43,
        exit: &[0x04, 0x00, 0x80, 0x02, 0x0b, 0x74, 0x81, 0x02, 0x00, 0x00, 0x2b, 0x00] },
];

/// The machine of an architecture.
pub(super) fn machine(architecture: &str) -> Option<&'static Machine> {
    MACHINES.iter().find(|machine| machine.architecture == architecture)
}

/// The architectures that can be emulated, given the emulator.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    MACHINES.iter().map(|machine| machine.architecture)
}

/// Where the program lies in memory: above what any kernel keeps free.
const ADDRESS: u64 = 0x40_0000;

/// How much of a header tells the machine: up to and with `e_machine`.
const TELLING: usize = 20;

impl Machine {
    /// A static program that ends at once, with status 0: the headers, and its instructions.
    pub(super) fn program(&self) -> Vec<u8> {
        let (header, segment) = if self.wide { (64, 56) } else { (52, 32) };
        let size = u64::from(header + segment) + self.exit.len() as u64;
        let mut file = Writer { bytes: Vec::with_capacity(size as usize), machine: self };
        let class = if self.wide { 2 } else { 1 };
        let order = if self.big_endian { 2 } else { 1 };
        file.bytes.extend([0x7f, b'E', b'L', b'F', class, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        file.half(2); // ET_EXEC
        file.half(self.number);
        file.word(1);
        file.address(ADDRESS + u64::from(header + segment));
        file.address(u64::from(header));
        file.address(0); // no sections
        file.word(self.flags);
        file.half(header);
        file.half(segment);
        file.half(1);
        file.half(0);
        file.half(0);
        file.half(0);
        // One segment, readable and executable: the whole file.
        file.word(1);
        if self.wide {
            file.word(5);
        }
        file.address(0);
        file.address(ADDRESS);
        file.address(ADDRESS);
        file.address(size);
        file.address(size);
        if !self.wide {
            file.word(5);
        }
        file.address(0x1000);
        file.bytes.extend(self.exit);
        file.bytes
    }

    /// The first bytes of programs for this machine, and which bits of them count: the kind of system does not, and a
    /// program may be movable (`ET_DYN`).
    pub(super) fn telling(&self) -> ([u8; TELLING], [u8; TELLING]) {
        let mut magic = [0; TELLING];
        magic.copy_from_slice(&self.program()[..TELLING]);
        let mut mask = [0xff; TELLING];
        mask[7] = 0;
        mask[if self.big_endian { 17 } else { 16 }] = 0xfe;
        (magic, mask)
    }
}

struct Writer<'a> {
    bytes: Vec<u8>,
    machine: &'a Machine,
}

impl Writer<'_> {
    fn put<const N: usize>(&mut self, little: [u8; N]) {
        let mut bytes = little;
        if self.machine.big_endian {
            bytes.reverse();
        }
        self.bytes.extend(bytes);
    }

    fn half(&mut self, number: u16) {
        self.put(number.to_le_bytes());
    }

    fn word(&mut self, number: u32) {
        self.put(number.to_le_bytes());
    }

    fn address(&mut self, number: u64) {
        match self.machine.wide {
            true => self.put(number.to_le_bytes()),
            // All of them are small.
            false => self.put((number as u32).to_le_bytes()),
        }
    }
}
