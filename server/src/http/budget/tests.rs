use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[tokio::test(start_paused = true)]
async fn a_burst_passes_and_then_the_rate_holds() {
    let budget = UpgradeBudget::new();
    let passed = |budget: &UpgradeBudget| {
        (0..UPGRADE_BURST * 2).take_while(|_| budget.take().is_ok()).count()
    };
    assert_eq!(passed(&budget), UPGRADE_BURST as usize);
    assert!(budget.take().expect_err("the bucket is empty") <= Duration::from_millis(2));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(passed(&budget), UPGRADES_PER_SECOND as usize);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_remembered_for_a_while_and_for_that_client_only() {
    let budget = UpgradeBudget::new();
    budget.remember_refusal(HERE, "doc", "old token");
    assert!(budget.was_refused(HERE, "doc", "old token"));
    assert!(!budget.was_refused(HERE, "doc", "new token"));
    assert!(!budget.was_refused(HERE, "other", "old token"));
    tokio::time::advance(REFUSAL_REMEMBERED).await;
    assert!(!budget.was_refused(HERE, "doc", "old token"));
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_refusals_is_bounded() {
    let budget = UpgradeBudget::new();
    for n in 0..REFUSALS_REMEMBERED * 2 {
        budget.remember_refusal(HERE, &n.to_string(), "");
    }
    assert_eq!(held(&budget.refused).len(), REFUSALS_REMEMBERED);
    tokio::time::advance(REFUSAL_REMEMBERED).await;
    budget.remember_refusal(HERE, "one more", "");
    assert_eq!(held(&budget.refused).len(), 1);
}
