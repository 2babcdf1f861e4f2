//! A Dockerfile as a graph of steps.
//!
//! Pure: instructions and the configs of base images go in, a [`Graph`] comes out. Only stages that the target needs
//! are looked at; names of stages, contexts and images are bound once, here; `${...}` is expanded, relative paths are
//! joined to WORKDIR, ONBUILD triggers are put in place. What remains for the solver is plain data.
//!
//! ```text
//! plan ── reach (which stages) ── stage (one stage: base, triggers, instructions) ── dispatch/* (one instruction)
//!   ├─ names (stages, contexts, images) └─ scope (ARG and ENV), text (how history spells things)
//!   └─ op (what the solver gets)
//! ```

mod dispatch;
mod names;
mod op;
mod plan;
mod reach;
mod scope;
mod stage;
#[cfg(test)]
mod tests;
mod text;

pub use names::context_key;
pub use op::{
    BaseImages, BaseKey, BaseName, CopyOp, CopySource, Graph, HistoryEntry, HttpOp, ImagePlan, InlineScript,
    NamedValue, Op, Origin, ResolvedBase, RunMount, RunOp, UserName, Vertex, VertexId, WorkdirOp,
};
pub use plan::{BaseRequest, ContextKind, Plan, PlanOptions, plan, reachable_stages};
