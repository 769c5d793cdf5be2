//! Tests of what no request can set up: two projects in one database, and more ways than a package keeps.

use tempfile::TempDir;

use super::*;
use crate::store::NewRelease;

/// A database with a package of this many releases in each of two projects: their ids.
async fn filled(releases: i64) -> (TempDir, Store, [Vec<DeltaRelease>; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("goldcrest.db"), None).await.unwrap();
    let mut all = [Vec::new(), Vec::new()];
    for (project, found) in ["ours", "theirs"].into_iter().zip(&mut all) {
        let mut writing = store.begin().await.unwrap();
        let project_id = writing.ensure_project(project, 0).await.unwrap();
        let package_id = writing.ensure_package(project_id, "sensor").await.unwrap();
        let mut ids = Vec::new();
        for counter in 0..releases {
            ids.push(writing.add_release(&release(package_id, counter)).await.unwrap());
        }
        writing.commit().await.unwrap();
        for id in ids {
            found.push(store.delta_release(id).await.unwrap().unwrap());
        }
    }
    (folder, store, all)
}

fn release(package_id: i64, counter: i64) -> NewRelease {
    NewRelease {
        package_id,
        version: counter.to_string(),
        digest: format!("release-{counter}"),
        counter,
        floor: 0,
        boards: "[]".into(),
        mpy: None,
        created_ms: 0,
        uploaded_ms: 0,
        size: 0,
        wire_size: 0,
        file_count: 0,
        key_ids: "[]".into(),
        manifest: String::new(),
    }
}

async fn add(store: &Store, from: &DeltaRelease, to: &DeltaRelease, body: &[u8]) {
    let object = NewObjectDelta { from: "old".into(), to: "new".into(), body: body.to_vec() };
    let delta = NewDelta {
        from_release_id: from.id,
        to_release_id: to.id,
        project_id: to.project_id,
        manifest: body.to_vec(),
        objects: vec![object],
        size: 1,
        whole_size: 2,
    };
    let mut writing = store.begin().await.unwrap();
    writing.add_delta(&delta, 0).await.unwrap();
    writing.commit().await.unwrap();
}

#[tokio::test]
async fn another_projects_objects_and_releases_are_no_bases() {
    let (_folder, store, [ours, theirs]) = filled(2).await;
    add(&store, &theirs[0], &theirs[1], b"secret").await;
    // Both projects have objects and releases of the same digests.
    assert_eq!(store.object_delta(ours[0].project_id, "old", "new").await.unwrap(), None);
    assert_eq!(store.manifest_delta("release-0", ours[1].id).await.unwrap(), None);
    assert_eq!(store.object_delta(theirs[0].project_id, "old", "new").await.unwrap(), Some(b"secret".to_vec()));
    assert_eq!(store.manifest_delta("release-0", theirs[1].id).await.unwrap(), Some(b"secret".to_vec()));
    assert_eq!(store.sibling(ours[1].id, "release-0").await.unwrap(), Some(ours[0].id));
}

#[tokio::test]
async fn a_way_that_is_there_stays_as_it_is() {
    let (_folder, store, [ours, _]) = filled(2).await;
    add(&store, &ours[0], &ours[1], b"first").await;
    add(&store, &ours[0], &ours[1], b"second").await;
    assert_eq!(store.object_delta(ours[0].project_id, "old", "new").await.unwrap(), Some(b"first".to_vec()));
    assert_eq!(store.deltas_to(ours[1].id, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn only_the_newest_ways_of_the_package_are_kept() {
    let (_folder, store, [ours, theirs]) = filled(6).await;
    add(&store, &theirs[0], &theirs[5], b"theirs").await;
    for from in &ours[..5] {
        add(&store, from, &ours[5], from.version.as_bytes()).await;
    }
    for (keep, gone) in [(9, 0), (5, 0), (2, 3), (2, 0)] {
        let mut writing = store.begin().await.unwrap();
        assert_eq!(writing.prune_deltas(ours[0].package_id, keep).await.unwrap(), gone, "{keep}");
        writing.commit().await.unwrap();
    }
    let left = store.deltas_to(ours[5].id, 10).await.unwrap();
    assert_eq!(left.iter().map(|row| row.version.as_str()).collect::<Vec<_>>(), ["4", "3"]);
    // Their objects went with the ways.
    let body = store.object_delta(ours[0].project_id, "old", "new").await.unwrap().unwrap();
    assert!(body == b"3" || body == b"4", "{body:?}");
    assert_eq!(store.deltas_to(theirs[5].id, 10).await.unwrap().len(), 1);
}
