use crate::sandbox::{DEFAULT_PATH, Sandbox, SandboxError};
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// A list of C strings, with the array of pointers that `execve(2)` wants.
pub(in super::super) struct CStrings {
    // The pointers lead into these; a CString does not move its bytes when it is moved itself.
    strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

// SAFETY: the pointers are to memory that the same value owns and never changes.
unsafe impl Send for CStrings {}

impl CStrings {
    fn new(what: &'static str, strings: &[OsString]) -> Result<Self, SandboxError> {
        let strings = strings.iter().map(|text| c_string(what, text)).collect::<Result<Vec<_>, _>>()?;
        let pointers = strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        Ok(Self { strings, pointers })
    }

    /// A null-terminated array, valid as long as `self`.
    pub(in super::super) fn as_ptr(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }

    /// The strings.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.strings.iter().map(CString::as_c_str)
    }
}

/// What is executed.
pub(in super::super) struct Program {
    pub(in super::super) arguments: CStrings,
    pub(in super::super) environment: CStrings,
    /// The files to try, in order.
    pub(in super::super) candidates: CStrings,
    pub(in super::super) cwd: CString,
    /// The program as it was given.
    pub(in super::super) name: String,
    /// Where it is searched; `None` when the name has a slash.
    pub(in super::super) path: Option<String>,
}

impl Program {
    pub(super) fn new(sandbox: &Sandbox) -> Result<Self, SandboxError> {
        let name = sandbox.args.first().filter(|name| !name.is_empty()).ok_or(SandboxError::NoProgram)?;
        let path = (!name.as_bytes().contains(&b'/')).then(|| search_path(&sandbox.env));
        let candidates = match path {
            None => vec![name.clone()],
            Some(path) => path.as_bytes().split(|&byte| byte == b':').map(|dir| join(dir, name)).collect(),
        };
        Ok(Self {
            arguments: CStrings::new("an argument", &sandbox.args)?,
            environment: CStrings::new("the environment", &sandbox.env)?,
            candidates: CStrings::new("PATH", &candidates)?,
            cwd: c_string("the working directory", sandbox.cwd.as_os_str())?,
            name: name.to_string_lossy().into_owned(),
            path: path.map(|path| path.to_string_lossy().into_owned()),
        })
    }
}

fn search_path(environment: &[OsString]) -> &OsStr {
    let path = environment.iter().rev().find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="));
    path.filter(|path| !path.is_empty()).map_or(OsStr::new(DEFAULT_PATH), OsStr::from_bytes)
}

/// An empty entry of PATH is the working directory.
fn join(directory: &[u8], name: &OsStr) -> OsString {
    let mut path = if directory.is_empty() { b".".to_vec() } else { directory.to_vec() };
    path.push(b'/');
    path.extend_from_slice(name.as_bytes());
    OsStr::from_bytes(&path).to_owned()
}

fn c_string(what: &'static str, text: &OsStr) -> Result<CString, SandboxError> {
    CString::new(text.as_bytes())
        .map_err(|_| SandboxError::NulByte { what, text: text.to_string_lossy().into_owned() })
}
