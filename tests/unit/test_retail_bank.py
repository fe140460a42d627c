"""The default catalogue holds what its document says, and fits into its memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.catalogue import Catalogue, load
from models.layout import Layout

FOLDER = Path(__file__).parents[2] / "models" / "retail_bank"
MAX_CUSTOMER_BYTES = 4096
EVENTS = """
app_install app_start app_end login_success login_fail register bind_card screen_view element_click search product_view
product_compare calculator_use transfer_submit transfer_success transfer_fail bill_pay wealth_order_submit
wealth_order_success wealth_order_fail wealth_redeem product_mature risk_assessment_done campaign_join coupon_redeem
service_chat complaint nps consent_change branch_visit rm_contact balance_snapshot inflow outflow payroll_credit
card_spend loan_view loan_quota_check loan_apply_start loan_apply_step face_verify_result doc_upload credit_auth
loan_submit loan_approve loan_reject contract_sign loan_draw repay_due repay_success repay_fail overdue settle
delivered exposed clicked dismissed converted opted_out
"""
SUBCLASSES = {
    "基础": "人口属性 实名认证 地域 职业收入 家庭",
    "资产负债": "AUM层级 存款 理财基金 贷款 信用卡",
    "交易": "转账 支付 代发 缴费 资金净流",
    "渠道": "活跃度 功能使用 搜索浏览 渠道偏好 活跃时段",
    "偏好": "产品偏好 意向强度 权益偏好 价格敏感",
    "价值关系": "生命周期 价值 流失风险 关系图谱",
    "风险合规": "风险评级 征信状况 授权与免打扰 欺诈与投诉",
}
RULES = {
    1: "eloan_stalled_30m eloan_stalled_24h eloan_stalled_72h",
    2: "face_verify_help",
    3: "eloan_unsigned_24h",
    4: "eloan_undrawn_3d eloan_undrawn_7d",
    5: "loan_interest",
    6: "repayment_short_push repayment_short_sms",
    7: "idle_inflow",
    8: "maturity_push maturity_manager",
    9: "outflow_retention",
    10: "onboarding_bind_card",
    11: "dormant_30d dormant_60d_high_aum",
    12: "risk_reassessment",
    13: "next_tier_near",
    14: "first_payroll payroll_missing",
    15: "wealth_order_help",
    16: "service_callback",
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load({path.name: path.read_text() for path in FOLDER.glob("*.toml")})


def test_it_declares_every_event(catalogue: Catalogue) -> None:
    assert {event.name for event in catalogue.events} == set(EVENTS.split())


def test_it_has_at_least_64_features(catalogue: Catalogue) -> None:
    assert len(catalogue.features) >= 64


def test_every_subclass_has_a_tag_and_a_feature_is_in_one(catalogue: Catalogue) -> None:
    wanted = {(kind, subclass) for kind, names in SUBCLASSES.items() for subclass in names.split()}
    assert len(wanted) == 32
    assert {(tag.class_, tag.subclass) for tag in catalogue.tags} == wanted
    assert {(feature.class_, feature.subclass) for feature in catalogue.features} <= wanted


def test_everything_has_a_chinese_label(catalogue: Catalogue) -> None:
    for entries in (catalogue.events, catalogue.features, catalogue.tags, catalogue.journeys, catalogue.rules):
        for entry in entries:
            assert any("\u4e00" <= letter <= "\u9fff" for letter in entry.label), entry.name


def test_both_journeys_have_their_stages_and_timeouts(catalogue: Catalogue) -> None:
    journeys = {journey.name: journey for journey in catalogue.journeys}
    app, eloan = journeys["app"], journeys["eloan"]
    assert " ".join(app.stages) == "visitor registered bound activated habitual declining dormant lost recovered"
    assert " ".join(eloan.stages) == (
        "aware interest apply verify submit review approved signed drawn repaying settled abandoned rejected overdue"
    )
    assert (eloan.entity, eloan.key) == ("loan_application", "application_id")
    assert {timeout.to for timeout in app.timeout} == {"declining", "dormant", "lost"}
    assert {timeout.in_ for timeout in eloan.timeout} >= {"aware", "interest", "apply", "verify", "approved"}


def test_all_sixteen_rules_are_there(catalogue: Catalogue) -> None:
    assert [rule.name for rule in catalogue.rules] == " ".join(RULES.values()).split()
    assert all(rule.goal for rule in catalogue.rules)


def test_documents_name_every_rule(catalogue: Catalogue) -> None:
    text = (FOLDER.parents[1] / "docs" / "retail_bank.md").read_text()
    assert [rule.name for rule in catalogue.rules if f"`{rule.name}`" not in text] == []


def test_credit_is_offered_to_nobody_who_is_overdue(catalogue: Catalogue) -> None:
    credit = ("eloan_stalled", "eloan_undrawn", "loan_interest")
    for rule in catalogue.rules:
        if rule.name.startswith(credit):
            assert "overdue_count = 0" in (rule.when or "") or "credit_eligible" in (rule.when or "")


def test_marketing_needs_consent_and_service_does_not(catalogue: Catalogue) -> None:
    policies = (*catalogue.gates, *catalogue.quiet_hours, *catalogue.contact_limits, *catalogue.holdouts)
    service = [rule for rule in catalogue.rules if rule.kind == "service"]
    assert service and not [one.name for one in policies for rule in service if one.is_for(rule)]
    consent = next(gate for gate in catalogue.gates if gate.when == "marketing_consent")
    assert all(consent.is_for(rule) for rule in catalogue.rules if rule.kind == "marketing")


def test_marketing_is_quiet_at_night_and_limited(catalogue: Catalogue) -> None:
    reaching = [rule for rule in catalogue.rules if rule.kind == "marketing" and rule.channel != "in_app"]
    (night,) = catalogue.quiet_hours
    assert (night.from_, night.until) == ("21:00", "08:00")
    assert all(night.is_for(rule) for rule in reaching)
    assert {limit.within for limit in catalogue.contact_limits} == {"1d", "7d", "30d"}
    assert all([limit for limit in catalogue.contact_limits if limit.is_for(rule)] for rule in reaching)
    assert all(rule.factors and rule.group for rule in catalogue.rules if rule.kind == "marketing")


def test_a_customer_fits_into_four_kilobytes(catalogue: Catalogue) -> None:
    customer, application = Layout.compile(catalogue).entities
    assert customer.cells * 8 <= MAX_CUSTOMER_BYTES - 256  # the rest is for ids, offsets and page overhead
    assert application.cells * 8 <= 512
