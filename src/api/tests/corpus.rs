//! Every object of the recorded scheduling scenarios reads, or is refused for a reason that is right.
//!
//! **Invariant:** nothing is skipped in silence: where the scenarios are not there, the test says so.

#[cfg(test)]
mod corpus {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use purser_api::{Object, Origin, Priorities, crd, node_pool_hash, object};
    use serde_json::Value;

    fn scenarios(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().unwrap() != "catalogues" {
                scenarios(&path, into);
            } else if path.extension().is_some_and(|end| end == "json") {
                into.push(path);
            }
        }
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "a skipped test says so, and the counts are worth seeing")]
    fn objects_of_the_corpus_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/scheduling");
        if !folder.is_dir() {
            eprintln!("SKIPPED: there is no corpus at {}", folder.display());
            return;
        }
        let mut files = Vec::new();
        scenarios(&folder, &mut files);
        files.sort();
        let mut same_hashes = 0;
        let (mut counts, mut refused) = (BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new());
        for file in &files {
            let entry: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
            let Some(objects) = entry.pointer("/scenario/objects").and_then(Value::as_array) else {
                continue;
            };
            same_hashes += claims_with_the_hash_of_their_pool(objects, file);
            for value in objects {
                let kind = value["kind"].as_str().unwrap().to_owned();
                match object(value, &Priorities::default(), Origin::Cluster) {
                    Ok(Object::Other { .. }) => *counts.entry(format!("other {kind}")).or_default() += 1,
                    Ok(_) => *counts.entry(kind).or_default() += 1,
                    Err(error) => *refused.entry(format!("{kind}: {error}")).or_default() += 1,
                }
            }
        }
        eprintln!(
            "{} files: {counts:#?}\n{same_hashes} hashes as recorded\nrefused: {refused:#?}",
            files.len()
        );
        assert!(refused.is_empty(), "the API server took all of these");
        assert!(counts["Pod"] > 0 && counts["NodePool"] > 0 && counts["NodeClaim"] > 0 && same_hashes > 0);
    }

    /// Karpenter stamped each claim with the hash of its pool.
    fn claims_with_the_hash_of_their_pool(objects: &[Value], file: &Path) -> usize {
        let mut same = 0;
        for claim in objects.iter().filter(|object| object["kind"] == "NodeClaim") {
            let (metadata, is_pool) = (&claim["metadata"], |object: &&Value| object["kind"] == "NodePool");
            let pool = &metadata["labels"]["karpenter.sh/nodepool"];
            let Some(recorded) = metadata["annotations"]["karpenter.sh/nodepool-hash"].as_str() else {
                continue;
            };
            for pool in objects.iter().filter(is_pool).filter(|object| object["metadata"]["name"] == *pool) {
                let pool: crd::NodePool = serde_json::from_value(pool.clone()).unwrap();
                assert_eq!(node_pool_hash(&pool.spec.template), recorded, "{}", file.display());
                same += 1;
            }
        }
        same
    }
}
