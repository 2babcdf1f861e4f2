//! What is written into which file of a group.

use super::hierarchy::Version;
use crate::request::{MemorySwap, ResourceLimits};

/// A controller that a limit takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Cpu,
    Cpuset,
}

impl Controller {
    /// As the kernel calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
        }
    }
}

/// A value for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) file: &'static str,
    pub(super) value: String,
    /// It may lack the file: nobody asked for this.
    pub(super) optional: bool,
}

/// What the limits take.
pub(super) fn controllers(limits: &ResourceLimits) -> Vec<Controller> {
    let memory = limits.memory.is_some() || limits.memory_swap.is_some();
    let cpu = limits.cpu_shares.is_some() || limits.cpu_period.is_some() || limits.cpu_quota.is_some();
    let cpuset = limits.cpuset_cpus.is_some() || limits.cpuset_mems.is_some();
    [(memory, Controller::Memory), (cpu, Controller::Cpu), (cpuset, Controller::Cpuset)]
        .into_iter()
        .filter_map(|(wanted, controller)| wanted.then_some(controller))
        .collect()
}

/// The settings of a controller, in the order in which the kernel takes them.
pub(super) fn settings(controller: Controller, version: Version, limits: &ResourceLimits) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut set = |file, value: Option<String>, optional| {
        settings.extend(value.map(|value| Setting { file, value, optional }));
    };
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    match (controller, version) {
        (Controller::Memory, Version::One) => {
            set("memory.limit_in_bytes", number(limits.memory), false);
            let total = swap(limits, |_, total| total).map(|total| total.unwrap_or_else(|| "-1".to_owned()));
            set("memory.memsw.limit_in_bytes", total, limits.memory_swap.is_none());
        }
        (Controller::Memory, Version::Two) => {
            set("memory.max", number(limits.memory), false);
            let beyond = swap(limits, |memory, total| total.saturating_sub(memory))
                .map(|beyond| beyond.unwrap_or_else(|| "max".to_owned()));
            set("memory.swap.max", beyond, limits.memory_swap.is_none());
        }
        (Controller::Cpu, Version::One) => {
            set("cpu.shares", number(limits.cpu_shares), false);
            set("cpu.cfs_period_us", number(limits.cpu_period), false);
            set("cpu.cfs_quota_us", number(limits.cpu_quota), false);
        }
        (Controller::Cpu, Version::Two) => {
            set("cpu.weight", limits.cpu_shares.map(|shares| weight(shares).to_string()), false);
            let bandwidth = match (limits.cpu_quota, limits.cpu_period) {
                (None, None) => None,
                (Some(quota), None) => Some(quota.to_string()),
                (quota, Some(period)) => {
                    Some(format!("{} {period}", number(quota).unwrap_or_else(|| "max".to_owned())))
                }
            };
            set("cpu.max", bandwidth, false);
        }
        (Controller::Cpuset, _) => {
            set("cpuset.cpus", limits.cpuset_cpus.clone(), false);
            set("cpuset.mems", limits.cpuset_mems.clone(), false);
        }
    }
    settings
}

/// The limit of swap, `Some(None)` for none; as much again as there is memory when nobody says.
fn swap(limits: &ResourceLimits, of: impl Fn(u64, u64) -> u64) -> Option<Option<String>> {
    let memory = limits.memory?;
    Some(match limits.memory_swap {
        None => Some(of(memory, memory.saturating_mul(2)).to_string()),
        Some(MemorySwap::Total(total)) => Some(of(memory, total).to_string()),
        Some(MemorySwap::Unlimited) => None,
    })
}

/// Shares of version 1 (2 to 262144, 1024 unless said) as a weight of version 2 (1 to 10000, 100 unless said): the curve
/// through both ends and both defaults that container runtimes use.
fn weight(shares: u64) -> u64 {
    let log = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    // At the exact points the sum may come out a hair above a whole number.
    (10_f64.powf(exponent) - 1e-9).ceil().clamp(1.0, 10_000.0) as u64
}
