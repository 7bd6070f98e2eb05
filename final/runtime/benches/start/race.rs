//! Round after round, everybody once.

use anyhow::{Context, Result};
use chroot::exit::sentence;

use crate::contestant::{Contestant, Sample};

/// A contestant with what it took.
pub struct Timing {
    /// Who it is.
    pub contestant: Contestant,
    /// A sample for each round.
    pub samples: Vec<Sample>,
}

/// Lets each of `lined_up` run once in each round. Who can't at all is moved to `left_out`, with the
/// reason. `progress` is told the number of rounds done.
///
/// # Errors
/// When one fails that could run before.
pub fn run(
    lined_up: Vec<Contestant>,
    rounds: u32,
    left_out: &mut Vec<(String, String)>,
    progress: impl Fn(u32),
) -> Result<Vec<Timing>> {
    let mut timings = Vec::new();
    for contestant in lined_up {
        // Twice: the first time, keel makes its bridge, and files are read from the disk.
        match contestant.run().and_then(|_| contestant.run()) {
            Ok(_) => timings.push(Timing { contestant, samples: Vec::new() }),
            Err(error) => left_out.push((contestant.title(), sentence(&error))),
        }
    }

    let mut order: Vec<usize> = (0..timings.len()).collect();
    let mut chance = Chance(0x2545_F491_4F6C_DD1D);
    for round in 1..=rounds {
        // The kernel takes namespaces and cgroups down in the background, after their last process
        // has ended. That hits whoever is next: so it must not be the same one every time.
        chance.shuffle(&mut order);
        for &next in &order {
            let Timing { contestant, samples } = &mut timings[next];
            samples.push(contestant.run().with_context(|| contestant.title())?);
        }
        progress(round);
    }
    Ok(timings)
}

/// Numbers that look random, the same every time (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn shuffle(&mut self, items: &mut [usize]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
