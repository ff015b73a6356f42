//! Who holds a folder?

use super::*;

#[test]
fn a_folder_is_free_again_although_a_copy_of_the_lock_lives_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = Directory::new(folder.path());
    let lock = directory.lock().expect("it is free");
    assert!(matches!(directory.lock(), Err(OpenError::Locked { .. })));
    let copy = lock.file.try_clone().expect("as a program that is being started has it");
    drop(lock);
    directory.lock().expect("it is free again");
    drop(copy);
}
