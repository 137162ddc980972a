//! What everybody may read: the pages of problems and products, and the status of the service. Rendering and arithmetic
//! only: `gateway` serves the pages, and `operate` records the status.

pub mod brand;
pub mod colour;
pub mod destinations;
pub mod pages;
pub mod status;
