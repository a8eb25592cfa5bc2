//! Manifests from files and folders: the only module here that touches the file system.
//!
//! **Invariant:** the same files give the same objects in the same order, whatever order the file system lists them in.

use std::path::{Path, PathBuf};

use purser_engine::model::Str;

use crate::error::{ApiError, FieldError};
use crate::read::{Located, Object, read_all};

/// Reads a file, or all of a folder and of those below it: `*.yaml`, `*.yml` and `*.json`, in order of path.
///
/// # Errors
/// If a file cannot be read, or the first thing that is wrong in one.
pub fn read_path(path: &Path) -> Result<Vec<Located<Object>>, ApiError> {
    let texts = read_texts(path)?;
    let texts: Vec<(Str, &str)> =
        texts.iter().map(|(source, text)| (source.clone(), text.as_str())).collect();
    read_all(&texts)
}

/// The texts that [`read_path`] reads objects from, each with its file.
///
/// # Errors
/// If a file cannot be read.
pub fn read_texts(path: &Path) -> Result<Vec<(Str, String)>, ApiError> {
    let files = if path.is_dir() { manifest_files(path)? } else { vec![path.to_owned()] };
    let mut texts: Vec<(Str, String)> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
        texts.push((file.display().to_string().into(), text));
    }
    Ok(texts)
}

/// The manifests in a folder and the folders in it, by name.
///
/// # Errors
/// If a folder cannot be read.
pub fn manifest_files(folder: &Path) -> Result<Vec<PathBuf>, ApiError> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<(), ApiError> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let path = entry.path();
        // Links to folders are not followed, for they may lead in a circle.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, into)?;
        } else if path
            .extension()
            .and_then(|end| end.to_str())
            .is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end.eq_ignore_ascii_case(known)))
            && path.is_file()
        {
            into.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> ApiError {
    ApiError {
        source_name: path.display().to_string(),
        line: 0,
        object: String::new(),
        field: Box::new(FieldError::whole(
            format!("cannot be read: {error}"),
            "check the path and its permissions",
        )),
    }
}

#[cfg(test)]
mod tests {
    use purser_engine::model::OwnerKind;

    use super::*;

    #[test]
    fn a_folder_is_read_in_order_and_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "b.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {priorityClassName: high, containers: []}\n",
        );
        write(
            "z/c.json",
            r#"{"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":"high"},"value":7}"#,
        );
        write("a.yml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n");
        write("notes.txt", "not a manifest");
        let objects = read_path(folder.path()).unwrap();
        let names: Vec<&str> =
            objects.iter().map(|object| object.source.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["a.yml", "b.yaml", "c.json"]);
        let Object::Pod(pod) = &objects[1].value else { panic!("{objects:?}") };
        assert_eq!((pod.spec.priority, pod.spec.owner), (7, OwnerKind::None));
        assert_eq!(read_path(&folder.path().join("a.yml")).unwrap().len(), 1);
        let error = read_path(&folder.path().join("absent.yaml")).unwrap_err().to_string();
        assert!(error.contains("absent.yaml: cannot be read: "), "{error}");
    }
}
