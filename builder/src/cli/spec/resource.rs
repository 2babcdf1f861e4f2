//! `--resource key=value`, and the flags of `docker build` for the same.

use super::{SpecError, size};
use crate::request::{MemorySwap, ResourceLimits};

const KNOWN: &str = "memory memory-swap cpu-shares cpu-period cpu-quota cpuset-cpus cpuset-mems";

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the key")]
pub enum Resource {
    Memory(Option<u64>),
    MemorySwap(Option<MemorySwap>),
    CpuShares(Option<u64>),
    CpuPeriod(Option<u64>),
    CpuQuota(Option<u64>),
    CpusetCpus(Option<String>),
    CpusetMems(Option<String>),
}

/// Reads `key=value`.
///
/// # Errors
/// [`SpecError`] for another shape, an unknown key, or a value that the key does not take.
pub fn parse(text: &str) -> Result<Resource, SpecError> {
    let (key, value) = text.split_once('=').ok_or_else(|| SpecError::NotKeyValue(text.to_owned()))?;
    of(key.trim(), value.trim())
}

/// The parser of the flag that is called like the key.
pub fn flag(key: &'static str) -> impl Fn(&str) -> Result<Resource, SpecError> + Clone {
    move |value| of(key, value.trim())
}

/// Zero and nothing are no limit, as in `docker build`.
fn of(key: &str, value: &str) -> Result<Resource, SpecError> {
    let bad = |want| SpecError::BadValue { key: key.to_owned(), value: value.to_owned(), want };
    let number = |least: u64, most: u64, want| match value.parse::<u64>() {
        Ok(0) => Ok(None),
        Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(bad(want)),
    };
    let bytes = || size::parse(value).map_err(|_| bad("write a size, as in 512m or 2g"));
    let numbers = || match value {
        "" => Ok(None),
        list if is_list(list) => Ok(Some(list.to_owned())),
        _ => Err(bad("write numbers and ranges, as in 0-3,7")),
    };
    Ok(match key {
        "memory" => Resource::Memory(Some(bytes()?).filter(|bytes| *bytes != 0)),
        "memory-swap" if value == "-1" => Resource::MemorySwap(Some(MemorySwap::Unlimited)),
        "memory-swap" => {
            let bytes =
                size::parse(value).map_err(|_| bad("write a size, as in 2g, or -1 for all swap there is"))?;
            Resource::MemorySwap((bytes != 0).then_some(MemorySwap::Total(bytes)))
        }
        "cpu-shares" => {
            Resource::CpuShares(number(2, 262_144, "write a number from 2 to 262144; 1024 is usual")?)
        }
        "cpu-period" => {
            Resource::CpuPeriod(number(1000, 1_000_000, "write microseconds, from 1000 to 1000000")?)
        }
        "cpu-quota" if value == "-1" => Resource::CpuQuota(None),
        "cpu-quota" => Resource::CpuQuota(number(1000, u64::MAX >> 20, "write microseconds, 1000 at least")?),
        "cpuset-cpus" => Resource::CpusetCpus(numbers()?),
        "cpuset-mems" => Resource::CpusetMems(numbers()?),
        _ => return Err(SpecError::UnknownKey { key: key.to_owned(), known: KNOWN }),
    })
}

/// The list format of cpuset(7), without its strides.
fn is_list(text: &str) -> bool {
    text.split(',').all(|range| {
        let mut ends =
            range.splitn(2, '-').map(|end| end.parse::<u32>().ok().filter(|_| !end.starts_with('+')));
        match (ends.next().flatten(), ends.next()) {
            (Some(_), None) => true,
            (Some(first), Some(Some(last))) => first <= last,
            _ => false,
        }
    })
}

/// All of them together; of the same limit the last counts.
///
/// # Errors
/// A limit of memory and swap that is below the one of memory, or without it.
pub fn limits(all: impl IntoIterator<Item = Resource>) -> Result<ResourceLimits, SpecError> {
    let mut limits = ResourceLimits::default();
    for resource in all {
        match resource {
            Resource::Memory(value) => limits.memory = value,
            Resource::MemorySwap(value) => limits.memory_swap = value,
            Resource::CpuShares(value) => limits.cpu_shares = value,
            Resource::CpuPeriod(value) => limits.cpu_period = value,
            Resource::CpuQuota(value) => limits.cpu_quota = value,
            Resource::CpusetCpus(value) => limits.cpuset_cpus = value,
            Resource::CpusetMems(value) => limits.cpuset_mems = value,
        }
    }
    match (limits.memory, limits.memory_swap) {
        (None, Some(MemorySwap::Total(_))) => {
            Err(SpecError::Missing { key: "memory", why: "memory-swap= counts memory and swap together" })
        }
        (Some(memory), Some(MemorySwap::Total(total))) if total < memory => Err(SpecError::BadValue {
            key: "memory-swap".to_owned(),
            value: total.to_string(),
            want: "it counts memory and swap together, and must not be below memory=",
        }),
        _ => Ok(limits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_limits() {
        for (text, want) in [
            ("memory=64m", Resource::Memory(Some(64 << 20))),
            ("memory=0", Resource::Memory(None)),
            ("memory-swap=-1", Resource::MemorySwap(Some(MemorySwap::Unlimited))),
            ("memory-swap=1g", Resource::MemorySwap(Some(MemorySwap::Total(1 << 30)))),
            (" cpu-shares = 512", Resource::CpuShares(Some(512))),
            ("cpu-period=100000", Resource::CpuPeriod(Some(100_000))),
            ("cpu-quota=-1", Resource::CpuQuota(None)),
            ("cpu-quota=250000", Resource::CpuQuota(Some(250_000))),
            ("cpuset-cpus=0-3,7", Resource::CpusetCpus(Some("0-3,7".into()))),
            ("cpuset-mems=", Resource::CpusetMems(None)),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
        for text in [
            "memory",
            "=1",
            "cpus=1",
            "memory=x",
            "memory=-1",
            "cpu-shares=1",
            "cpu-period=10",
            "cpu-quota=1ms",
            "cpuset-cpus=3-0",
            "cpuset-cpus=0,",
            "cpuset-mems=a",
            "cpuset-cpus=+1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let error = flag("memory")("much").expect_err("no size");
        assert_eq!(error.to_string(), "memory=\"much\" is not understood: write a size, as in 512m or 2g");
    }

    #[test]
    fn limits_together() {
        let all = |words: &str| limits(words.split(' ').map(|word| parse(word).expect(word)));
        let limits = all("memory=1m cpu-shares=2 memory=2m memory-swap=2m").expect("they go together");
        assert_eq!((limits.memory, limits.cpu_shares), (Some(2 << 20), Some(2)));
        assert!(all("memory-swap=1m").is_err());
        assert!(all("memory=2m memory-swap=1m").is_err());
        assert!(all("memory-swap=-1").is_ok());
    }
}
