//! Finds the cheapest way to make the target: at each byte, go on with one of several parts of the base, jump, or insert.
//!
//! A *shift* is the position in the base minus the position in the target: along one shift, base and target run in step. The
//! best plan is a shortest path over the target's positions (Viterbi). Its state is the shift, or "insert"; at most
//! [`MAX_OPEN`] shifts are held open at a time.

/// Most shifts that are followed at the same time.
const MAX_OPEN: usize = 32;
/// Most places of the base that are looked at for one position, on either side in their order.
const MAX_PLACES: usize = 6;
/// Bytes that places are sorted by: more would make a base of zeros slow and tell no more apart.
const SORTED_BY: usize = 48;
/// A shift whose cost is above the best by so much is dropped.
const DROP_ABOVE: u32 = bits(60);

/// A cost in 1/16 of a bit, as the deflated delta will have it about.
const fn bits(bits: u32) -> u32 {
    bits * 16
}

/// What things are taken to cost, in bits. Which guess is best depends on the files: the encoder tries several.
#[derive(Debug, Clone, Copy)]
pub(super) struct Costs {
    /// One inserted byte.
    pub(super) insert: u32,
    /// One byte that differs in a copy; none: copies are exact.
    pub(super) differ: Option<u32>,
    /// A copy from another part of the base.
    pub(super) jump: u32,
    /// A copy that goes on where the last one ended.
    pub(super) resume: u32,
    /// Bytes that must agree to begin a copy.
    pub(super) seed: usize,
}

/// A stretch of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stretch {
    /// `length` bytes from `start` on are in the delta.
    Insert { start: usize, length: usize },
    /// `length` bytes from `start` on are those of the base from `from` on, or about those.
    Copy { start: usize, from: usize, length: usize },
}

/// The places of the base, sorted by the bytes that follow each: what is most like some bytes is next to where they would stand.
pub(super) struct Places<'a> {
    base: &'a [u8],
    sorted: Vec<u32>,
}

impl<'a> Places<'a> {
    pub(super) fn new(base: &'a [u8]) -> Self {
        let mut sorted: Vec<u32> = (0..).take(base.len()).collect();
        sorted.sort_unstable_by_key(|&place| (ahead(base, place as usize), place));
        Self { base, sorted }
    }

    /// Places whose bytes begin like the target at a position, at least `seed` of them; the most alike are among them.
    fn like(&self, target: &[u8], at: usize, seed: usize) -> impl Iterator<Item = usize> {
        let bytes = ahead(target, at);
        let middle = self.sorted.partition_point(|&place| ahead(self.base, place as usize) < bytes);
        let alike = move |place: &usize| {
            let old = ahead(self.base, *place);
            bytes.len() >= seed && old.len() >= seed && old[..seed] == bytes[..seed]
        };
        let above = self.sorted[middle..].iter().map(|&place| place as usize).take(MAX_PLACES).take_while(alike);
        let below = self.sorted[..middle].iter().rev().map(|&place| place as usize).take(MAX_PLACES).take_while(alike);
        above.chain(below)
    }
}

/// The bytes that places are sorted by.
fn ahead(bytes: &[u8], at: usize) -> &[u8] {
    &bytes[at..bytes.len().min(at + SORTED_BY)]
}

/// Of two positions, in the base and in the target.
pub(super) fn shift(from: usize, start: usize) -> isize {
    from.wrapping_sub(start).cast_signed()
}

/// The cheapest known way to have made the target up to a position.
#[derive(Clone, Copy)]
struct Best {
    cost: u32,
    /// Of the last copy.
    shift: isize,
    /// Where the last copy began; none: the last byte was inserted.
    copied_from: Option<usize>,
}

/// A part of the base that is followed.
struct Open {
    shift: isize,
    cost: u32,
    start: usize,
}

/// The cheapest plan. `text_cost` says what inserting a byte costs where it is known better (1/16 bit; 0: not known).
pub(super) fn plan(base: &[u8], target: &[u8], places: &Places<'_>, costs: &Costs, text_cost: &[u32]) -> Vec<Stretch> {
    let nothing = Best { cost: u32::MAX, shift: 0, copied_from: None };
    let mut best = vec![nothing; target.len() + 1];
    best[0].cost = 0;
    let mut open: Vec<Open> = Vec::new();
    for at in 0..target.len() {
        let here = best[at];
        enter(base, target, at, here, places, costs, &mut open);
        let insert = if text_cost[at] > 0 { text_cost[at] } else { bits(costs.insert) };
        let after_copy = if here.copied_from.is_some() || at == 0 { bits(costs.resume) } else { 0 };
        let mut next = Best { cost: here.cost + insert + after_copy, shift: here.shift, copied_from: None };
        let limit = here.cost.saturating_add(DROP_ABOVE);
        open.retain_mut(|part| {
            let old = at.checked_add_signed(part.shift).and_then(|from| base.get(from));
            let differs = old.is_none_or(|old| *old != target[at]);
            if old.is_none() || differs && costs.differ.is_none() {
                return false;
            }
            part.cost += if differs { bits(costs.differ.unwrap_or(0)) } else { 0 };
            if part.cost < next.cost {
                next = Best { cost: part.cost, shift: part.shift, copied_from: Some(part.start) };
            }
            part.cost <= limit
        });
        best[at + 1] = next;
    }
    stretches(&best)
}

/// Opens the parts of the base whose bytes begin like the target at this position.
fn enter(base: &[u8], target: &[u8], at: usize, here: Best, places: &Places<'_>, costs: &Costs, open: &mut Vec<Open>) {
    let goes_on = at.checked_add_signed(here.shift).is_some_and(|from| base.get(from) == Some(&target[at]));
    let shifts = places.like(target, at, costs.seed).map(|from| shift(from, at));
    for shift in shifts.chain(goes_on.then_some(here.shift)) {
        let entry = if shift == here.shift { bits(costs.resume) } else { bits(costs.jump) + far(shift - here.shift) };
        let cost = here.cost + entry;
        match open.iter_mut().find(|part| part.shift == shift) {
            Some(part) if part.cost <= cost => {}
            Some(part) => (part.cost, part.start) = (cost, at),
            None => open.push(Open { shift, cost, start: at }),
        }
    }
    if open.len() > MAX_OPEN {
        open.sort_unstable_by_key(|part| (part.cost, part.shift));
        open.truncate(MAX_OPEN);
    }
}

/// What a longer number costs on top.
fn far(distance: isize) -> u32 {
    bits((usize::BITS - distance.unsigned_abs().leading_zeros()).saturating_sub(6) / 2)
}

/// Walks the plan back from the end. Copies along one shift become one.
fn stretches(best: &[Best]) -> Vec<Stretch> {
    let mut backwards: Vec<Stretch> = Vec::new();
    let mut end = best.len() - 1;
    while end > 0 {
        let stretch = match best[end].copied_from {
            Some(start) => {
                let from = start.wrapping_add_signed(best[end].shift);
                Stretch::Copy { start, from, length: end - start }
            }
            None => Stretch::Insert { start: end - 1, length: 1 },
        };
        end = match stretch {
            Stretch::Insert { start, .. } | Stretch::Copy { start, .. } => start,
        };
        match (backwards.last_mut(), stretch) {
            (Some(Stretch::Insert { start: later, length }), Stretch::Insert { start, .. }) => {
                (*later, *length) = (start, *length + 1);
            }
            (
                Some(Stretch::Copy { start: later, from: later_from, length }),
                Stretch::Copy { start, from, length: more },
            ) if from + more == *later_from => {
                (*later, *later_from, *length) = (start, from, *length + more);
            }
            _ => backwards.push(stretch),
        }
    }
    backwards.reverse();
    backwards
}
