//! The Merkle tree of RFC 6962 (SHA-256): leaf and node hashes, an append-only frontier, and proofs.
//!
//! Invariant: a [`Frontier`] of size n has one peak for each one-bit of n, the largest subtree first; its root equals the
//! root that RFC 6962 defines over the same n leaves.

use std::fmt;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

/// A SHA-256 hash: of a leaf, of a node, or of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::bytes::hex(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Hash {
    /// The plain SHA-256 of some bytes, as for files and payloads.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// The hash of a leaf: `SHA-256(0x00 || line)`.
pub fn leaf_hash(line: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(line);
    Hash(hasher.finalize().into())
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut block = [1; 65];
    block[1..33].copy_from_slice(&left.0);
    block[33..].copy_from_slice(&right.0);
    Hash::of(&block)
}

/// The right edge of a tree: all that is needed to append to it and to know its root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Rebuilds a frontier from stored parts; `None` when the number of peaks does not fit the size.
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, the largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends one leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("invariant: one peak for each one-bit of the size");
            hash = node_hash(&left, &hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree; of the empty tree it is the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Hash::of(b""),
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

impl Extend<Hash> for Frontier {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

/// The root of the tree over these leaves.
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    frontier.extend(leaves.iter().copied());
    frontier.root()
}

/// Where RFC 6962 splits a tree of `size` > 1 leaves: the largest power of two below it.
fn split(size: usize) -> usize {
    1 << (usize::BITS - 1 - (size - 1).leading_zeros())
}

/// The proof that leaf `index` is in the tree over `leaves`, from the bottom up; `None` when there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], index: u64) -> Option<Vec<Hash>> {
    let mut index = usize::try_from(index).ok().filter(|index| *index < leaves.len())?;
    let mut proof = Vec::new();
    let mut range = leaves;
    while range.len() > 1 {
        let (left, right) = range.split_at(split(range.len()));
        if index < left.len() {
            proof.push(root_of(right));
            range = left;
        } else {
            proof.push(root_of(left));
            index -= left.len();
            range = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// Whether `proof` shows that `leaf` is at `index` in the tree of `size` leaves with this root.
pub fn verify_inclusion(root: &Hash, size: u64, index: u64, leaf: &Hash, proof: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// The proof that the tree over the first `old` leaves is a prefix of the tree over all of `leaves`; `None` when `old` is
/// zero or larger than the tree.
pub fn consistency_proof(leaves: &[Hash], old: u64) -> Option<Vec<Hash>> {
    fn subproof(leaves: &[Hash], old: usize, complete: bool, proof: &mut Vec<Hash>) {
        if old == leaves.len() {
            if !complete {
                proof.push(root_of(leaves));
            }
            return;
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        if old <= left.len() {
            subproof(left, old, complete, proof);
            proof.push(root_of(right));
        } else {
            subproof(right, old - left.len(), false, proof);
            proof.push(root_of(left));
        }
    }
    let old = usize::try_from(old).ok().filter(|old| (1..=leaves.len()).contains(old))?;
    let mut proof = Vec::new();
    subproof(leaves, old, true, &mut proof);
    Some(proof)
}

/// Whether `proof` shows that the tree (`old_size`, `old_root`) is a prefix of the tree (`size`, `root`).
pub fn verify_consistency(old_size: u64, old_root: &Hash, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if old_size == size {
        return proof.is_empty() && old_root == root;
    }
    if old_size == 0 || old_size > size {
        return false;
    }
    let mut path = proof.iter();
    let first = if old_size.is_power_of_two() { Some(old_root) } else { path.next() };
    let Some(first) = first else { return false };
    let (mut node, mut last) = (old_size - 1, size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut hash) = (*first, *first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && hash == *root
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 6962 section 2.1, word for word.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of(b""),
            [leaf] => *leaf,
            _ => {
                let k = (1..).map(|p| 1usize << p).take_while(|k| *k < leaves.len()).last().unwrap_or(1);
                node_hash(&naive(&leaves[..k]), &naive(&leaves[k..]))
            }
        }
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_le_bytes())).collect()
    }

    #[test]
    fn known_roots() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Frontier::default().root().to_string(), empty);
        let one = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(leaf_hash(b"").to_string(), one);
    }

    #[test]
    fn the_frontier_agrees_with_the_definition_at_every_size() {
        let all = leaves(130);
        let mut frontier = Frontier::default();
        for size in 0..=all.len() {
            assert_eq!(frontier.root(), naive(&all[..size]), "size {size}");
            let again = Frontier::from_parts(frontier.size(), frontier.peaks().to_vec());
            assert_eq!(again.as_ref(), Some(&frontier));
            assert!(
                Frontier::from_parts(frontier.size() + 1, frontier.peaks().to_vec()).is_none()
                    || size % 2 == 1
            );
            if let Some(leaf) = all.get(size) {
                frontier.push(*leaf);
            }
        }
    }

    #[test]
    fn every_proof_of_small_trees_holds() {
        for size in 1..=40usize {
            let all = leaves(size);
            let root = naive(&all);
            for index in 0..size as u64 {
                let proof = inclusion_proof(&all, index).unwrap();
                assert!(
                    verify_inclusion(&root, size as u64, index, &all[index as usize], &proof),
                    "{index}/{size}"
                );
                assert!(!verify_inclusion(&root, size as u64, index, &Hash::of(b"other"), &proof));
                assert!(!verify_inclusion(&root, size as u64, index + 1, &all[index as usize], &proof));
            }
            for old in 1..=size {
                let proof = consistency_proof(&all, old as u64).unwrap();
                let old_root = naive(&all[..old]);
                assert!(
                    verify_consistency(old as u64, &old_root, size as u64, &root, &proof),
                    "{old}/{size}"
                );
                assert!(!verify_consistency(old as u64, &Hash::of(b"other"), size as u64, &root, &proof));
            }
            assert!(inclusion_proof(&all, size as u64).is_none());
            assert!(consistency_proof(&all, 0).is_none());
            assert!(consistency_proof(&all, size as u64 + 1).is_none());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_spoilt_proof_fails(size in 2usize..200, at in any::<prop::sample::Index>(), bit in 0usize..256) {
            let all = leaves(size);
            let root = root_of(&all);
            let index = at.index(size) as u64;
            let mut proof = inclusion_proof(&all, index).unwrap();
            let victim = at.index(proof.len());
            proof[victim].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_inclusion(&root, size as u64, index, &all[index as usize], &proof));
            proof.pop();
            prop_assert!(!verify_inclusion(&root, size as u64, index, &all[index as usize], &proof));

            let old = 1 + at.index(size - 1);
            let mut proof = consistency_proof(&all, old as u64).unwrap();
            prop_assert!(verify_consistency(old as u64, &root_of(&all[..old]), size as u64, &root, &proof));
            let victim = at.index(proof.len());
            proof[victim].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_consistency(old as u64, &root_of(&all[..old]), size as u64, &root, &proof));
        }

        #[test]
        fn changed_history_has_no_consistency_proof(size in 3usize..120, at in any::<prop::sample::Index>()) {
            let all = leaves(size);
            let old = 1 + at.index(size - 1);
            let mut rewritten = all.clone();
            rewritten[at.index(old)] = Hash::of(b"rewritten");
            let proof = consistency_proof(&rewritten, old as u64).unwrap();
            let old_root = root_of(&all[..old]);
            prop_assert!(!verify_consistency(old as u64, &old_root, size as u64, &root_of(&rewritten), &proof));
        }
    }
}
