//! cargo workshop: doctor, lab, tour.
