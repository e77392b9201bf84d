//! What runs at once: named resources, counted against the limits of a run.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use imgc_backend::Resources;

/// What a run may use at once, besides its number of jobs. What alone is larger than a limit runs alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPUs that nodes say they need; none: no limit.
    pub cpus: Option<u32>,
    /// Bytes of memory; none: no limit.
    pub memory: Option<u64>,
    /// Machines that stay open between steps; none: no limit.
    pub machines: Option<u32>,
    /// By backend: how many of its machines are open, or how many of its nodes run where it has none that stay open.
    pub backends: BTreeMap<String, u32>,
}

/// What a node or an open machine takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Need {
    jobs: u32,
    cpus: u32,
    memory: u64,
    machines: u32,
    of_backend: u32,
}

/// The two parts of what a node takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// While it runs.
    pub(crate) run: Need,
    /// For as long as its machine is open.
    pub(crate) hold: Need,
}

impl Needs {
    pub(crate) fn of(resources: Resources) -> Self {
        let Resources { cpus, memory, machines, .. } = resources;
        let run = Need { jobs: 1, cpus, ..Need::default() };
        if machines == 0 {
            return Self { run: Need { memory, of_backend: 1, ..run }, hold: Need::default() };
        }
        Self { run, hold: Need { memory, machines, of_backend: 1, ..Need::default() } }
    }
}

impl Need {
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            jobs: self.jobs + other.jobs,
            cpus: self.cpus.saturating_add(other.cpus),
            memory: self.memory.saturating_add(other.memory),
            machines: self.machines.saturating_add(other.machines),
            of_backend: self.of_backend + other.of_backend,
        }
    }
}

/// What is in use.
#[derive(Debug, Default)]
pub(crate) struct Load {
    all: Need,
    backends: BTreeMap<&'static str, u32>,
}

impl Load {
    /// Whether there is room. What nothing else uses is given out whole, however large the need.
    pub(crate) fn fits(&self, limits: &Limits, jobs: NonZeroUsize, backend: &str, need: Need) -> bool {
        fn room<T: Copy + Ord + Default + std::ops::Add<Output = T>>(used: T, need: T, limit: Option<T>) -> bool {
            need == T::default() || used == T::default() || limit.is_none_or(|limit| used + need <= limit)
        }
        let jobs = u32::try_from(jobs.get()).unwrap_or(u32::MAX);
        let of_backend = self.backends.get(backend).copied().unwrap_or_default();
        room(self.all.jobs, need.jobs, Some(jobs))
            && room(self.all.cpus, need.cpus, limits.cpus)
            && room(self.all.memory, need.memory, limits.memory)
            && room(self.all.machines, need.machines, limits.machines)
            && room(of_backend, need.of_backend, limits.backends.get(backend).copied())
    }

    /// Whether another job could start at all.
    pub(crate) fn has_job(&self, jobs: NonZeroUsize) -> bool {
        u32::try_from(jobs.get()).map_or(true, |jobs| self.all.jobs < jobs)
    }

    pub(crate) fn take(&mut self, backend: &'static str, need: Need) {
        self.all = self.all.and(need);
        if need.of_backend > 0 {
            *self.backends.entry(backend).or_default() += need.of_backend;
        }
    }

    pub(crate) fn give_back(&mut self, backend: &'static str, need: Need) {
        let all = &mut self.all;
        all.jobs = all.jobs.saturating_sub(need.jobs);
        all.cpus = all.cpus.saturating_sub(need.cpus);
        all.memory = all.memory.saturating_sub(need.memory);
        all.machines = all.machines.saturating_sub(need.machines);
        if let Some(used) = self.backends.get_mut(backend) {
            *used = used.saturating_sub(need.of_backend);
        }
    }
}
