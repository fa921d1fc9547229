//! What a guest does that means harm, or was written without care.

use std::hint::black_box;

const MIB: usize = 1 << 20;

/// Uses the CPU for ever.
pub(crate) fn spin() -> ! {
    loop {
        black_box(());
    }
}

/// Takes memory until it is given no more, writes to all of it, and returns how many MiB that were.
pub(crate) fn grow() -> usize {
    take(usize::MAX).len()
}

/// Takes so many MiB of memory, or what it is given, and writes to all of it.
pub(crate) fn take(mib: usize) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    while taken.len() < mib {
        let mut block = Vec::<u8>::new();
        if taken.try_reserve(1).is_err() || block.try_reserve_exact(MIB).is_err() {
            break;
        }
        block.resize(MIB, 0xa5);
        taken.push(black_box(block));
    }
    taken
}

/// Uses the CPU for so many steps, of a nanosecond or so.
pub(crate) fn compute(steps: u64) -> u64 {
    (0..steps).fold(1, |sum, step| black_box(sum ^ step).rotate_left(1))
}

/// Calls itself until the stack is used up.
pub(crate) fn descend(depth: u64) -> u64 {
    if depth == u64::MAX {
        return depth;
    }
    // What is done after the call keeps the compiler from making a loop of it.
    descend(depth + 1).rotate_left(1) ^ depth
}

/// Prints at least so many bytes and returns how many lines that were.
pub(crate) fn flood(bytes: u64) -> u64 {
    let line = "x".repeat(127);
    let lines = bytes.div_ceil(line.len() as u64 + 1);
    for _ in 0..lines {
        println!("{line}");
    }
    lines
}
