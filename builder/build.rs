//! Compiles the seccomp profile to a table of BPF instructions, so that no process spends time on it.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

const PROFILE: &str = "src/sandbox/seccomp/default.profile";

fn main() {
    println!("cargo::rerun-if-changed={PROFILE}");
    println!("cargo::rerun-if-changed=build.rs");
    let text = std::fs::read_to_string(PROFILE).expect("the profile is part of the sources");
    let profile = Profile::parse(&text).unwrap_or_else(|error| panic!("{PROFILE}: {error}"));
    let target = std::env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    let architectures = architectures(&target)
        .unwrap_or_else(|| panic!("no seccomp profile for {target}: x86_64 and aarch64 have one"));
    profile.check_names().unwrap_or_else(|error| panic!("{PROFILE}: {error}"));
    let program = program(&profile, &architectures);

    let mut source = format!(
        "/// The default profile for {target}.\npub(super) static DEFAULT: [libc::sock_filter; {}] = [\n",
        program.len()
    );
    for sock_filter { code, jt, jf, k } in &program {
        writeln!(source, "    libc::sock_filter {{ code: {code}, jt: {jt}, jf: {jf}, k: {k} }},")
            .expect("a String takes everything");
    }
    source.push_str("];\n");
    let directory = std::env::var_os("OUT_DIR").expect("cargo sets it");
    std::fs::write(Path::new(&directory).join("seccomp_default.rs"), source).expect("OUT_DIR is writable");
}

/// The profile, still with names.
#[derive(Default)]
struct Profile {
    allow: Vec<(String, Option<Condition>)>,
    errno: Vec<(String, u32)>,
}

/// `argN OP VALUE`.
#[derive(Clone)]
struct Condition {
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
}

impl Profile {
    fn parse(text: &str) -> Result<Self, String> {
        let mut profile = Self::default();
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = |error: &str| format!("line {}: {error}: {line}", number + 1);
            match words[..] {
                [] => {}
                [word, ..] if word.starts_with('#') => {}
                ["allow", name, "when", ref condition @ ..] => {
                    let condition = Condition::parse(condition).ok_or_else(|| at("bad condition"))?;
                    profile.allow.push((name.to_owned(), Some(condition)));
                }
                ["allow", ref names @ ..] => {
                    profile.allow.extend(names.iter().map(|name| (name.to_string(), None)));
                }
                ["errno", "ENOSYS", ref names @ ..] => {
                    profile.errno.extend(names.iter().map(|name| (name.to_string(), ENOSYS)));
                }
                _ => return Err(at("neither allow nor errno ENOSYS")),
            }
        }
        Ok(profile)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let allow = self.allow.iter().map(|(name, _)| name.as_str());
        allow.chain(self.errno.iter().map(|(name, _)| name.as_str()))
    }

    /// A name must exist on some architecture, and stand once, or always with a condition.
    fn check_names(&self) -> Result<(), String> {
        let all: Vec<Architecture> =
            ["x86_64", "aarch64"].iter().filter_map(|t| architectures(t)).flatten().collect();
        let mut seen = BTreeMap::new();
        for (name, condition) in &self.allow {
            let conditional = condition.is_some();
            if *seen.entry(name).or_insert(conditional) != conditional
                || (!conditional && self.count(name) > 1)
            {
                return Err(format!("{name} is allowed twice"));
            }
        }
        match self.names().find(|name| all.iter().all(|arch| (arch.number)(name).is_none())) {
            Some(name) => Err(format!("no system call is called {name}")),
            None => Ok(()),
        }
    }

    fn count(&self, name: &str) -> usize {
        self.names().filter(|other| *other == name).count()
    }
}

impl Condition {
    fn parse(words: &[&str]) -> Option<Self> {
        let argument = |word: &str| word.strip_prefix("arg")?.parse().ok();
        let (argument, operator, value) = match *words {
            [arg, "==", value] => (argument(arg)?, SeccompCmpOp::Eq, number(value)?),
            [arg, "<", value] => (argument(arg)?, SeccompCmpOp::Lt, number(value)?),
            [arg, ">", value] => (argument(arg)?, SeccompCmpOp::Gt, number(value)?),
            [arg, "&", mask, "==", value] => {
                (argument(arg)?, SeccompCmpOp::MaskedEq(number(mask)?), number(value)?)
            }
            _ => return None,
        };
        Some(Self { argument, operator, value })
    }
}

fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// 32-bit arm has a few calls of its own up here (cacheflush, set_tls), far above the common numbers,
/// which the table of names lacks.
const FIRST_PRIVATE: u32 = 0xf0000;

/// One of the system call tables that a kernel has.
struct Architecture {
    /// `AUDIT_ARCH_*` of linux/audit.h.
    audit: u32,
    number: fn(&str) -> Option<u32>,
}

/// The kernel's own table, then that for 32-bit programs.
fn architectures(target: &str) -> Option<Vec<Architecture>> {
    macro_rules! architecture {
        ($module:ident, $audit:expr) => {
            Architecture {
                audit: $audit,
                number: |name| {
                    let call: syscalls::$module::Sysno = name.parse().ok()?;
                    u32::try_from(call.id()).ok()
                },
            }
        };
    }
    match target {
        "x86_64" => Some(vec![architecture!(x86_64, 0xc000_003e), architecture!(x86, 0x4000_0003)]),
        "aarch64" => {
            let arm = Architecture {
                number: |name| match name {
                    "breakpoint" => Some(FIRST_PRIVATE + 1),
                    "cacheflush" => Some(FIRST_PRIVATE + 2),
                    "set_tls" => Some(FIRST_PRIVATE + 5),
                    _ => (architecture!(arm, 0).number)(name),
                },
                audit: 0x4000_0028,
            };
            Some(vec![architecture!(aarch64, 0xc000_00b7), arm])
        }
        _ => None,
    }
}

// The few instructions that are not seccompiler's: linux/bpf_common.h, linux/seccomp.h.
const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_ALLOW: u32 = 0x7fff_0000;
const RET_KILL_PROCESS: u32 = 0x8000_0000;

fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// If the comparison holds, go on with `then`, else behind it.
fn guarded(code: u16, k: u32, then: Vec<sock_filter>) -> Vec<sock_filter> {
    // A conditional jump reaches 255 instructions, an unconditional one all.
    let mut all = match u8::try_from(then.len()) {
        Ok(jf) => vec![sock_filter { code, jt: 0, jf, k }],
        Err(_) => {
            let length = u32::try_from(then.len()).expect("programs have at most 4096 instructions");
            vec![sock_filter { code, jt: 1, jf: 0, k }, statement(JUMP, length)]
        }
    };
    all.extend(then);
    all
}

fn program(profile: &Profile, architectures: &[Architecture]) -> Vec<sock_filter> {
    let mut all = vec![statement(LOAD, OFFSET_ARCH)];
    for architecture in architectures {
        all.extend(guarded(JUMP_EQUAL, architecture.audit, body(profile, architecture)));
    }
    all.push(statement(RETURN, RET_KILL_PROCESS));
    assert!(all.len() <= 4096, "the kernel takes 4096 instructions, these are {}", all.len());
    all
}

/// What is answered to a number, or to several in a row.
#[derive(Clone, PartialEq, Eq)]
enum Answer {
    Return(u32),
    /// It depends on the arguments.
    Rules(u32, Vec<SeccompRule>),
}

/// The filter for one architecture.
fn body(profile: &Profile, architecture: &Architecture) -> Vec<sock_filter> {
    let mut answers: BTreeMap<u32, Answer> = BTreeMap::new();
    for (name, errno) in &profile.errno {
        if let Some(number) = (architecture.number)(name) {
            answers.insert(number, Answer::Return(RET_ERRNO | errno));
        }
    }
    for (name, condition) in &profile.allow {
        let Some(number) = (architecture.number)(name) else { continue };
        match condition {
            None => drop(answers.insert(number, Answer::Return(RET_ALLOW))),
            Some(condition) => match answers.entry(number).or_insert(Answer::Rules(number, Vec::new())) {
                Answer::Rules(_, rules) => rules.push(condition.rule()),
                Answer::Return(_) => unreachable!("check_names refuses a name with and without condition"),
            },
        }
    }
    // Each answer holds from its number to the next one in the list.
    let highest = *answers.range(..FIRST_PRIVATE).next_back().expect("some are known").0;
    let mut ranges: Vec<(u32, Answer)> = Vec::new();
    let all =
        (0..=highest + 1).chain(answers.range(FIRST_PRIVATE..).flat_map(|(number, _)| [*number, number + 1]));
    for number in all {
        let unknown = Answer::Return(RET_ERRNO | if number <= highest { EPERM } else { ENOSYS });
        let answer = answers.get(&number).cloned().unwrap_or(unknown);
        if ranges.last().is_none_or(|(_, last)| *last != answer) {
            ranges.push((number, answer));
        }
    }
    let mut all = vec![statement(LOAD, OFFSET_NUMBER)];
    all.extend(search(&ranges));
    all
}

impl Condition {
    fn rule(&self) -> SeccompRule {
        // 32 bits: the kernel cuts these arguments to an int, so that a comparison of all 64 could be talked round.
        let dword = SeccompCmpArgLen::Dword;
        let condition = SeccompCondition::new(self.argument, dword, self.operator.clone(), self.value)
            .expect("system calls have six arguments");
        SeccompRule::new(vec![condition]).expect("there is a condition")
    }
}

/// Halves the ranges until one is left. Loading a filter costs every RUN time for every instruction, and the kernel runs
/// it for every number then: a chain of comparisons over all numbers would take most of a millisecond.
fn search(ranges: &[(u32, Answer)]) -> Vec<sock_filter> {
    match ranges {
        [(_, Answer::Return(value))] => vec![statement(RETURN, *value)],
        [(_, Answer::Rules(number, rules))] => compare(*number, rules),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let mut all = guarded(JUMP_GREATER_EQUAL, high[0].0, search(high));
            all.extend(search(low));
            all
        }
    }
}

/// seccompiler's comparisons of arguments.
fn compare(number: u32, rules: &[SeccompRule]) -> Vec<sock_filter> {
    // The architecture is checked already: which one seccompiler is told does not matter, and its check is cut off.
    let filter = SeccompFilter::new(
        BTreeMap::from([(number.into(), rules.to_vec())]),
        SeccompAction::Errno(EPERM),
        SeccompAction::Allow,
        TargetArch::x86_64,
    )
    .expect("the two actions differ");
    let program: BpfProgram = filter.try_into().expect("it is short");
    let check = &program[..3];
    let beginning = (check[0].k, check[2].k);
    assert_eq!(beginning, (OFFSET_ARCH, RET_KILL_PROCESS), "seccompiler's programs begin differently");
    program[3..].to_vec()
}
