//! Both machines against each other, and against those who mean them harm.

mod bounds;
mod fuzzing;
mod handshake;
mod hostile;
mod inside;
mod lies;
mod pair;
mod resumption;
mod services;
mod shutdown;
mod sim;
mod vectors;
mod violations;
