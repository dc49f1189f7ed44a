//! Configuration files: raw serde structs become `proto::model`, all problems at once.
