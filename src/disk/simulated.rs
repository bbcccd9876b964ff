//! `SimulatedFile`: a file's live bytes beside what a power cut is sure to leave of them.

/// The unit in which a device keeps or loses what was not synced.
const SECTOR: u64 = 512;

/// What was done to a file since its last sync.
#[derive(Clone, Debug)]
enum Unsynced {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

/// One file: its content as processes see it, as the device has it, and the difference in order.
#[derive(Clone, Debug, Default)]
pub(super) struct SimulatedFile {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    /// The handle that has the lock.
    pub(super) locked_by: Option<u64>,
}

impl SimulatedFile {
    /// A file whose content is on the device.
    pub(super) fn settled(content: Vec<u8>) -> Self {
        Self {
            live: content.clone(),
            durable: content,
            ..Self::default()
        }
    }

    pub(super) fn live(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        put(&mut self.live, offset, bytes);
        self.unsynced.push(Unsynced::Write {
            offset,
            bytes: bytes.to_vec(),
        });
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.live.resize(len as usize, 0);
        self.unsynced.push(Unsynced::SetLen(len));
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            match change {
                Unsynced::Write { offset, bytes } => put(&mut self.durable, offset, &bytes),
                Unsynced::SetLen(len) => self.durable.resize(len as usize, 0),
            }
        }
    }

    /// A write that fails after it reached the sectors that `reaches` chooses.
    pub(super) fn write_torn(
        &mut self,
        offset: u64,
        bytes: &[u8],
        mut reaches: impl FnMut() -> bool,
    ) {
        for (at, piece) in sectors(offset, bytes) {
            if reaches() {
                self.write(at, piece);
            }
        }
    }

    /// A sync that fails: some of what was not synced is on the device, and the rest is marked clean
    /// without being there (R8). A change of length, which a file system journals, may come later.
    pub(super) fn sync_and_lose(&mut self, mut survives: impl FnMut() -> bool) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Unsynced::Write { offset, bytes } => {
                    for (at, piece) in sectors(offset, &bytes) {
                        if survives() {
                            put(&mut self.durable, at, piece);
                        }
                    }
                }
                Unsynced::SetLen(len) if survives() => self.durable.resize(len as usize, 0),
                Unsynced::SetLen(_) => self.unsynced.push(change),
            }
        }
    }

    /// What is marked clean is read from the device from now on.
    pub(super) fn drop_cache(&mut self) {
        let mut content = self.durable.clone();
        for change in &self.unsynced {
            match change {
                Unsynced::Write { offset, bytes } => put(&mut content, *offset, bytes),
                Unsynced::SetLen(len) => content.resize(*len as usize, 0),
            }
        }
        content.resize(self.live.len(), 0);
        self.live = content;
    }

    /// The content after a power cut: what was synced, and of the rest the sectors that
    /// `survives` chooses.
    pub(super) fn after_power_cut(&self, mut survives: impl FnMut() -> bool) -> Vec<u8> {
        let mut image = self.durable.clone();
        for change in &self.unsynced {
            match change {
                Unsynced::Write { offset, bytes } => {
                    for (at, piece) in sectors(*offset, bytes) {
                        if survives() {
                            put(&mut image, at, piece);
                        }
                    }
                }
                Unsynced::SetLen(len) if survives() => image.resize(*len as usize, 0),
                Unsynced::SetLen(_) => {}
            }
        }
        image
    }
}

/// Cuts a write at the boundaries of the device's sectors.
fn sectors(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = (offset, bytes);
    std::iter::from_fn(move || {
        let (at, bytes) = rest;
        if bytes.is_empty() {
            return None;
        }
        let room = (SECTOR - at % SECTOR) as usize;
        let (piece, tail) = bytes.split_at(room.min(bytes.len()));
        rest = (at + piece.len() as u64, tail);
        Some((at, piece))
    })
}

fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = offset as usize;
    let end = start + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(start..end) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::{SimulatedFile, sectors};

    #[test]
    fn a_write_is_cut_at_sector_boundaries() {
        let bytes = [7; 1100];
        let cuts: Vec<_> = sectors(500, &bytes)
            .map(|(at, piece)| (at, piece.len()))
            .collect();
        assert_eq!(cuts, [(500, 12), (512, 512), (1024, 512), (1536, 64)]);
    }

    #[test]
    fn what_a_failed_sync_loses_reads_back_until_the_cache_is_dropped() {
        let mut file = SimulatedFile::default();
        file.write(0, &[1; 1024]);
        file.sync();
        file.write(0, &[2; 1024]);
        let mut turn = false;
        file.sync_and_lose(|| {
            turn = !turn;
            turn
        });
        assert_eq!(file.live(), [2; 1024]);
        file.sync();
        assert_eq!(
            file.after_power_cut(|| true)[512..],
            [1; 512],
            "no later sync writes it"
        );
        file.drop_cache();
        assert_eq!(file.live()[..512], [2; 512]);
        assert_eq!(file.live()[512..], [1; 512]);
    }

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_any_part_of_the_rest() {
        let mut file = SimulatedFile::default();
        file.write(0, &[1; 1024]);
        file.sync();
        file.write(0, &[2; 1024]);
        let mut turn = false;
        let image = file.after_power_cut(|| {
            turn = !turn;
            turn
        });
        assert_eq!(image[..512], [2; 512]);
        assert_eq!(image[512..], [1; 512]);
        assert_eq!(file.after_power_cut(|| false), [1; 1024]);
        assert_eq!(file.live(), [2; 1024]);
    }
}
