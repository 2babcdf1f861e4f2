//! The flags that limit what RUN steps take.

use super::failure::UsageError;
use super::spec::resource::{self, Resource};
use crate::request::ResourceLimits;

/// `--resource`, the flags of `docker build` that say the same, and `--cgroup-parent`.
#[derive(clap::Args, Debug, Default)]
pub struct ResourceFlags {
    /// Limit memory or processors of RUN, as in memory=2g or cpu-quota=50000
    #[arg(long, value_name = "KEY=VALUE", value_parser = resource::parse, help_heading = "Steps")]
    resource: Vec<Resource>,

    /// The same as --resource memory=SIZE
    #[arg(long, short, hide = true, value_parser = resource::flag("memory"))]
    memory: Option<Resource>,

    /// The same as --resource memory-swap=SIZE
    #[arg(long, hide = true, allow_hyphen_values = true, value_parser = resource::flag("memory-swap"))]
    memory_swap: Option<Resource>,

    /// The same as --resource cpu-shares=N
    #[arg(long, short = 'c', hide = true, value_parser = resource::flag("cpu-shares"))]
    cpu_shares: Option<Resource>,

    /// The same as --resource cpu-period=MICROSECONDS
    #[arg(long, hide = true, value_parser = resource::flag("cpu-period"))]
    cpu_period: Option<Resource>,

    /// The same as --resource cpu-quota=MICROSECONDS
    #[arg(long, hide = true, allow_hyphen_values = true, value_parser = resource::flag("cpu-quota"))]
    cpu_quota: Option<Resource>,

    /// The same as --resource cpuset-cpus=LIST
    #[arg(long, hide = true, value_parser = resource::flag("cpuset-cpus"))]
    cpuset_cpus: Option<Resource>,

    /// The same as --resource cpuset-mems=LIST
    #[arg(long, hide = true, value_parser = resource::flag("cpuset-mems"))]
    cpuset_mems: Option<Resource>,

    /// Make the control groups of RUN below this one: a path, or a systemd slice
    #[arg(long, value_name = "PATH", help_heading = "Steps")]
    pub cgroup_parent: Option<String>,
}

impl ResourceFlags {
    /// All limits; `--resource` counts more than the others.
    ///
    /// # Errors
    /// Limits that contradict each other.
    pub fn limits(&self) -> Result<ResourceLimits, UsageError> {
        let others = [
            &self.memory,
            &self.memory_swap,
            &self.cpu_shares,
            &self.cpu_period,
            &self.cpu_quota,
            &self.cpuset_cpus,
            &self.cpuset_mems,
        ];
        let all = others.into_iter().flatten().chain(&self.resource).cloned();
        resource::limits(all).map_err(UsageError::Resources)
    }
}
