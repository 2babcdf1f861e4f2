//! Fetching what is elsewhere: files by HTTP, directories of git repositories.
//!
//! What names a thing before it is there: of a file, the digest that its server's `ETag` or time stands for; of a
//! repository, the commit. Both are small questions, so that a build with nothing new moves no content.

pub mod git;
pub mod http;
