//! Paths that lead to a store that is open already.

use riverbed::{OpenError, Riverbed, StreamConfig};
use std::fs;

#[test]
fn a_store_is_opened_once_in_a_process_by_whatever_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Riverbed::open(&path).unwrap();
    store.create_stream(StreamConfig::new("s")).unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let detour = folder.path().join("sub").join("..").join("store");
    let mut paths = vec![path.clone(), detour];
    #[cfg(unix)]
    {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        paths.push(link);
    }
    for path in paths {
        let refused = Riverbed::open(&path).unwrap_err();
        assert!(
            matches!(refused, OpenError::AlreadyOpen { .. }),
            "{path:?}: {refused:?}"
        );
    }
    // Being asked changed nothing.
    store.publish("s", "x").unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    store.close().unwrap();
    Riverbed::open(&path).unwrap();
}
