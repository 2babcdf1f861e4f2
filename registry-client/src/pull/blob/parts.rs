//! Over how many connections a blob comes, and which bytes by which.

use super::{Blob, Incoming};
use crate::transport::{Lane, Permit, RangePolicy, Target, error::RequestError};

/// Parts that are asked for as one when no connection is free to fetch some of them meanwhile.
const STRETCH: u64 = 16;

impl Blob {
    /// Whether several connections are likely to be faster than one.
    pub(super) fn is_worth_parts(&self) -> bool {
        let ranges = self.transport.options.ranges;
        self.descriptor.size >= ranges.from.max(1) && (ranges.loopback || !self.place.registry.loopback)
    }

    /// Lets idle connections fetch what comes after `until`, once that is near.
    pub(super) fn fetch_ahead(&mut self) {
        let RangePolicy { part, .. } = self.transport.options.ranges;
        let (part, size) = (part.max(1), self.descriptor.size);
        if !self.parallel || !self.takes_ranges || self.until - self.got > part {
            return;
        }
        // One place is for what comes first. A part that failed has given its own back already.
        let most = self.transport.options.connections_per_registry.saturating_sub(1);
        loop {
            let start = self.ahead.end().unwrap_or(self.until);
            if start >= size || self.ahead.len() >= most {
                return;
            }
            let registry = &self.place.registry;
            let Some(permit) = registry.try_permit(Lane::Pull) else { return };
            let mut call = self.call.bodiless();
            if let Some(storage) = &self.storage {
                call.target = Target::Url(storage.clone());
            }
            let range = start..start.saturating_add(part).min(size);
            self.ahead.fetch(&self.transport, registry, call, range, size, permit);
        }
    }

    /// Decides after an error how to go on. Tells whether that can be at once, without the pauses of a retry: what refuses
    /// a part ahead (a storage, say, whose URL has expired) may well answer a request of the usual kind.
    pub(super) fn gave_up_ahead(&mut self, error: &RequestError) -> bool {
        let was_ahead = matches!(self.incoming.take(), Some(Incoming::Part(_)));
        if matches!(error, RequestError::RateLimited { .. } | RequestError::Status { status: 503, .. }) {
            // It has too much to do already.
            self.parallel = false;
            self.ahead.clear();
        }
        let again = was_ahead && !error.is_transient();
        if again {
            self.ahead.clear();
            self.parallel = self.storage.take().is_some();
        }
        again
    }

    /// A place in the pool for the next request. Whoever waits for one has none: blobs that keep what they fetched ahead,
    /// each waiting for the other's places, would wait for ever, and so would one that waits for its own.
    pub(super) async fn permit(&mut self) -> Result<Permit, RequestError> {
        if let Some(permit) = self.place.registry.try_permit(Lane::Pull) {
            return Ok(permit);
        }
        self.ahead.clear();
        self.transport.permit(&self.place.registry, Lane::Pull, &self.call.asked).await
    }

    /// Where the next request shall end: before what is fetched already, else so far that the rest can be fetched by
    /// others meanwhile, if there are any. The place for that request was taken before.
    pub(super) fn reach(&self) -> u64 {
        let size = self.descriptor.size;
        if let Some(start) = self.ahead.start() {
            return start;
        }
        if !self.parallel || !self.ranges {
            return size;
        }
        let part = self.transport.options.ranges.part.max(1);
        let alone = self.place.registry.free_places(Lane::Pull) == 0;
        let length = if alone { part.saturating_mul(STRETCH) } else { part };
        // What would be left must be worth a request.
        if size - self.got <= length.saturating_add(part / 2) { size } else { self.got + length }
    }

    /// The server does not do ranges well: the rest comes in one answer.
    pub(super) fn without_parts(&mut self) {
        self.parallel = false;
        self.ahead.clear();
        self.until = self.descriptor.size;
    }
}
