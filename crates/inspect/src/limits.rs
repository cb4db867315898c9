//! How much of an image is read. Whatever an image holds, memory and work stay within these bounds;
//! what lies beyond them makes an answer unknown, with the reason.

/// Bounds of one inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one layer, uncompressed.
    pub layer_bytes: u64,
    /// Files, folders and links of one image.
    pub entries: u64,
    /// Bytes of one path.
    pub path_bytes: usize,
    /// Programs and libraries of one image.
    pub programs: usize,
    /// Bytes of one program; a longer one is not read.
    pub file_bytes: u64,
    /// Bytes of one program that are held in memory; longer ones go to a temporary file.
    pub memory_bytes: u64,
    /// Bytes of code of one program.
    pub code_bytes: u64,
    /// Functions of one program.
    pub functions: usize,
    /// References between functions and data of one program.
    pub references: usize,
    /// Instructions of one image that are decoded.
    pub instructions: u64,
    /// Sections of one program.
    pub sections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            layer_bytes: 64 << 30,
            entries: 4_000_000,
            path_bytes: 4096,
            programs: 50_000,
            file_bytes: 4 << 30,
            memory_bytes: 4 << 20,
            code_bytes: 512 << 20,
            functions: 1_000_000,
            references: 3_000_000,
            instructions: 5_000_000_000,
            sections: 20_000,
        }
    }
}
