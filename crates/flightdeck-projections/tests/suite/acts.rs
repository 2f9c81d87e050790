//! What an administrator does, done once: also when the one who did it was killed between writing it down and doing it.

use std::sync::Arc;

use flightdeck_core::{EventType, Json, StreamId};
use flightdeck_projections::{Admin, AdminError, By, Defined};
use flightdeck_store::view::{Plan, ViewError};
use flightdeck_store::{Append, NewEvent, RequestKey};

use crate::counts::Counts;
use crate::ground::{Ground, name};

fn by(key: &str) -> By {
    By { request: Some(RequestKey::new("ada", key, [7; 32]).unwrap()), ..By::from("ada") }
}

/// An act is written down under that key, and whoever did so is killed then.
async fn written_down(ground: &Ground, what: &str, data: &str, key: &str) {
    let (stream, what) = (StreamId::new("$audit").unwrap(), EventType::new(what).unwrap());
    let event = NewEvent::new(stream, what, Json::new(data.to_owned(), 1 << 10).unwrap());
    let append = Append { request: by(key).request, ..Append::of([event]) };
    ground.store.append(append).await.unwrap();
}

fn admin(ground: &Ground) -> Admin {
    Admin::new(Arc::clone(&ground.store), Arc::clone(&ground.views))
}

async fn prepared(ground: &Ground) -> Plan {
    let plan = Defined::new(Arc::new(Counts::named("counts"))).unwrap().plan().clone();
    ground.views.prepare(&plan).await.unwrap();
    plan
}

async fn what_was_only_written_down_is_done_by_the_same_request(ground: Ground) {
    let (plan, admin) = (prepared(&ground).await, admin(&ground));
    written_down(&ground, "ProjectionPaused", "{\"projection\":\"counts\"}", "pause").await;
    assert!(!ground.state("counts").await.paused);
    let again = admin.pause(&name("counts"), by("pause")).await;
    assert!(matches!(again, Err(AdminError::DoneBefore(_))), "{again:?}");
    assert!(ground.state("counts").await.paused);
    admin.resume(&name("counts"), by("resume")).await.unwrap();

    written_down(&ground, "ProjectionRebuildStarted", "{\"projection\":\"counts\",\"build\":2}", "rebuild")
        .await;
    for _ in 0..2 {
        let again = admin.rebuild(&plan, by("rebuild")).await;
        assert!(matches!(again, Err(AdminError::DoneBefore(_))), "{again:?}");
        assert_eq!(ground.state("counts").await.of.build, 2, "and only once");
    }
}

async fn what_things_have_gone_beyond_does_not_come_back(ground: Ground) {
    let (_, admin) = (prepared(&ground).await, admin(&ground));
    admin.pause(&name("counts"), by("pause")).await.unwrap();
    admin.resume(&name("counts"), by("resume")).await.unwrap();
    let late = admin.pause(&name("counts"), by("pause")).await;
    assert!(matches!(late, Err(AdminError::DoneBefore(_))), "{late:?}");
    assert!(!ground.state("counts").await.paused);
}

async fn what_can_not_be_done_is_not_written_down(ground: Ground) {
    let admin = admin(&ground);
    let unknown = admin.pause(&name("counts"), by("pause")).await;
    assert!(matches!(unknown, Err(AdminError::View(ViewError::Unknown(_)))), "{unknown:?}");
    assert_eq!(ground.head().await, 0);
}

crate::on_both! {
    what_was_only_written_down_is_done_by_the_same_request
    what_things_have_gone_beyond_does_not_come_back
    what_can_not_be_done_is_not_written_down
}
