//! cargo workshop: doctor, lab, tour.

fn main() {}
