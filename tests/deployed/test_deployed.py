"""The stack as `sam deploy` makes it. In this account each function has exactly the rights of its role."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, get_args

import pytest
from botocore.exceptions import ClientError

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.secret import Secret, session_reference
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.seal import Purpose, Seal
from oauth_broker.sessions.session_secret import SessionSecret
from tests.deployed.account import Account, SamFailed
from tests.local.aries import AriesCore, AriesSimulator
from tests.support.deployment import APPS, ARIES_CLIENT_ID, ARIES_CLIENT_SECRET, CALLBACK_URI, GRACE, ISSUER, SCOPES
from tests.support.functions import http_event
from tests.support.known_people import SCOPE, USER
from tests.support.lambda_context import FUNCTION_SECONDS
from tests.support.leaks import WATCH
from tests.support.transformed import FUNCTIONS
from tests.support.world import Answer, Phone, World

pytestmark = pytest.mark.deployed

STACK = "broker"
# Lambda polls the stream within this time.
PATIENCE_SECONDS = 60


# The tests' apps without what no sign-in here needs, because the parameter has little room.
IN_A_PARAMETER = {
    client_id: {
        "redirect_uris": app["redirect_uris"][:1],
        **{name: app[name] for name in ("scopes", "origins", "backend") if name in app},
    }
    for client_id, app in APPS.items()
}


class Deployed(World):
    """The deployed broker: a World for any Phone. It turns an app's requests into events, as API Gateway does."""

    def __init__(self, account: Account, aries: AriesSimulator) -> None:
        self.account = account
        self.aries = aries
        self.dynamodb, self.secretsmanager = account.client("dynamodb"), account.client("secretsmanager")
        secret = self.secretsmanager.create_secret(Name="aries/client-secret", SecretString=ARIES_CLIENT_SECRET)
        self.parameters = {
            "AriesClientId": ARIES_CLIENT_ID,
            "AriesClientSecretArn": secret["ARN"],
            "AriesAuthorizeUrl": f"{aries.url}/oauth2/authorize",
            "AriesTokenUrl": aries.token_url,
            "AriesUserUrl": aries.profile_url,
            "Apps": json.dumps(IN_A_PARAMETER),
            "Issuer": ISSUER,
            "DeletionProtection": "false",
            "BackendAccess": "true",
            "AwsEndpointUrl": account.url,
        }
        self.deploy()
        self._functions = account.client("lambda")

    def deploy(self, **changes: str) -> None:
        """Create the stack, or update it with other parameters."""
        self.resources = self.account.deploy(STACK, self.parameters | changes)

    def call(
        self,
        function: str,
        method: str,
        path: str,
        *,
        seconds: float = FUNCTION_SECONDS,
        via: Any = None,
        **request: Any,
    ) -> Answer:
        assert seconds == FUNCTION_SECONDS
        assert via is None
        name = self.resources[f"{function.title()}Function"]
        payload = json.dumps(http_event(method, path, **request))
        invoked = self._functions.invoke(FunctionName=name, Qualifier="live", Payload=payload)
        event = json.loads(invoked["Payload"].read())
        assert "statusCode" in event, event
        answer = Answer(event["statusCode"], event["headers"], event["cookies"], event["body"])
        WATCH.answer(answer)
        return answer

    def row(self, session_id: str) -> dict[str, Any] | None:
        key = {"session_id": {"S": session_id}}
        item = self.dynamodb.get_item(TableName=self.resources["SignInsTable"], Key=key).get("Item")
        return {name: next(iter(value.values())) for name, value in item.items()} if item else None

    def let_the_grace_pass(self, phone: Phone) -> None:
        """Set the last refresh of the session back in time, so its grace is over."""
        self.dynamodb.update_item(
            TableName=self.resources["SignInsTable"],
            Key={"session_id": {"S": phone.session_id}},
            UpdateExpression="SET rotated_at = rotated_at - :grace",
            ExpressionAttributeValues={":grace": {"N": str(GRACE + 1)}},
        )

    def let_the_access_token_run_out(self, phone: Phone) -> None:
        """Note in the row that the access token is nearly over. The next backend has it renewed."""
        self.dynamodb.update_item(
            TableName=self.resources["SignInsTable"],
            Key={"session_id": {"S": phone.session_id}},
            UpdateExpression="SET access_expires_at = :soon",
            ExpressionAttributeValues={":soon": {"N": str(int(time.time()) + 5)}},
        )

    def delete_row(self, phone: Phone) -> None:
        """Delete the row, as DynamoDB does once the row expires."""
        key = {"session_id": {"S": phone.session_id}}
        self.dynamodb.delete_item(TableName=self.resources["SignInsTable"], Key=key)

    def send_dead_letter(self, phone: Phone) -> None:
        """Send the message that Lambda sends after it gives up on the record of a removed row."""
        streams, table = self.account.client("dynamodbstreams"), self.resources["SignInsTable"]
        arn = self.dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
        (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        place = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        records = streams.get_records(ShardIterator=streams.get_shard_iterator(**place)["ShardIterator"])["Records"]
        (number,) = [
            record["dynamodb"]["SequenceNumber"]
            for record in records
            if record["eventName"] == "REMOVE" and record["dynamodb"]["Keys"]["session_id"]["S"] == phone.session_id
        ]
        batch = {
            "shardId": shard["ShardId"],
            "startSequenceNumber": number,
            "endSequenceNumber": number,
            "batchSize": 1,
            "streamArn": arn,
        }
        letter = json.dumps({"version": "1.0", "DDBStreamBatchInfo": batch})
        self.account.client("sqs").send_message(QueueUrl=self.resources["CleanupDeadLetterQueue"], MessageBody=letter)

    @contextmanager
    def without_rights(self, function: str) -> Iterator[None]:
        """Take the policy away from the function's role during the block."""
        iam = self.account.client("iam")
        policy = {"RoleName": self.resources[f"{function}Role"], "PolicyName": function.lower()}
        document = iam.get_role_policy(**policy)["PolicyDocument"]
        iam.delete_role_policy(**policy)
        try:
            yield
        finally:
            iam.put_role_policy(**policy, PolicyDocument=json.dumps(document))

    def kms_like(self, function: str) -> Any:
        """Make a client of KMS for a user with the policy of the function's role."""
        iam, policy = self.account.client("iam"), {"PolicyName": function.lower()}
        document = iam.get_role_policy(**policy, RoleName=self.resources[f"{function}Role"])["PolicyDocument"]
        key = new_user(iam, f"like-{function}")
        iam.put_user_policy(**policy, UserName=f"like-{function}", PolicyDocument=json.dumps(document))
        return self.account.client("kms", key)

    def secrets_of_sessions(self) -> set[str]:
        names = {secret["Name"] for secret in self.secretsmanager.list_secrets()["SecretList"]}
        return {name for name in names if name.startswith(f"{STACK}/session/")}


def new_user(iam: Any, name: str) -> dict[str, str]:
    """Make a user without any right. Return the access key."""
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    core = AriesCore(ARIES_CLIENT_ID, ARIES_CLIENT_SECRET, [CALLBACK_URI], scopes=SCOPES)
    with AriesSimulator(core) as aries, Account(tmp_path_factory.mktemp("account")) as account:
        yield Deployed(account, aries)


class OnCall:
    """A person on call, with the rights of OperatorPolicy. ``key`` is the access key."""

    def __init__(self, broker: Deployed) -> None:
        self._function = broker.resources["OperatorFunction"]
        iam = broker.account.client("iam")
        self.key = new_user(iam, "on-call")
        iam.attach_user_policy(UserName="on-call", PolicyArn=broker.resources["OperatorPolicy"])
        self._lambda = broker.account.client("lambda", self.key)

    def ask(self, action: str, **members: Any) -> dict[str, Any]:
        """Invoke the operator function; return its answer."""
        payload = json.dumps({"action": action, "operator": "ann", **members})
        invoked = self._lambda.invoke(FunctionName=self._function, Payload=payload)
        answer: dict[str, Any] = json.loads(invoked["Payload"].read())
        WATCH.wrote("operator's answer", json.dumps(answer))
        return answer


@pytest.fixture(scope="module")
def on_call(broker: Deployed) -> OnCall:
    return OnCall(broker)


def eventually(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds() and time.monotonic() < until:
        time.sleep(0.5)
    return holds()


def test_a_whole_sign_in_needs_no_right_that_a_role_does_not_give(broker: Deployed) -> None:
    phone = broker.signed_in()
    broker.let_the_grace_pass(phone)
    before = phone.access_token
    for function in ("token", "refresh"):
        assert phone.refresh(function=function).status == 200
        assert phone.access_token != before
        broker.let_the_grace_pass(phone)
        before = phone.access_token
    assert phone.revoke().status == 200
    assert broker.secrets_of_sessions() == set()
    assert phone.refresh().json["error"] == "invalid_grant"


def test_a_backend_needs_no_right_that_the_functions_role_does_not_give(broker: Deployed) -> None:
    """Whether IAM asks a policy at the route is not decided here: see "Backends of apps" in docs/deploy.md."""
    phone = broker.with_backend()
    assert phone.ask_as_backend().json["access_token"] == phone.access_token
    broker.let_the_access_token_run_out(phone)
    renewed = phone.ask_as_backend()
    assert renewed.status == 200, broker.account.log
    assert renewed.json["access_token"] != phone.access_token
    assert broker.backend({"backend_handle": phone.backend_handle}, caller="").status == 403
    with broker.without_rights("Backend"):
        assert phone.ask_as_backend().status == 503
    assert phone.revoke().status == 200
    assert phone.ask_as_backend().json["error"] == "sign_in_required"


def test_the_log_of_the_functions_is_searched_for_every_secret(broker: Deployed) -> None:
    """The watch over all tests searches the log at the end of the account."""
    phone = broker.signed_in()
    secret = {phone.access_token, phone.refresh_token, phone.aries_state, phone.verifier, *phone.cookies.values()}
    (aries_refresh_token,) = map(broker.aries.core.newest_refresh_token, broker.aries.core.families()[-1:])
    assert {*secret, aries_refresh_token, ARIES_CLIENT_SECRET} <= WATCH.secrets
    assert phone.revoke().status == 200
    line = f'"session":"{session_reference(phone.session_id)}"'
    assert eventually(lambda: line in broker.account.log), broker.account.log


def test_a_missing_right_fails_a_sign_in(broker: Deployed) -> None:
    with broker.without_rights("Authorize"):
        assert broker.phone().authorize().query["error"] == "temporarily_unavailable"
    assert broker.phone().authorize().location.startswith(broker.aries.url)


def test_the_secret_of_a_row_that_is_gone_is_deleted(broker: Deployed) -> None:
    phone = broker.signed_in()
    assert len(broker.secrets_of_sessions()) == 1
    broker.delete_row(phone)
    assert eventually(lambda: broker.secrets_of_sessions() == set()), broker.account.log


def test_a_person_on_call_needs_one_policy_and_sam_remote_invoke(broker: Deployed, on_call: OnCall) -> None:
    check = [
        "remote",
        "invoke",
        "OperatorFunction",
        "--stack-name",
        STACK,
        "--event-file",
        "events/operator_check.json",
    ]
    answer = json.loads(broker.account.sam(*check, user=on_call.key))
    assert answer["ok"] is True, answer
    with pytest.raises(SamFailed, match="AccessDenied"):
        broker.account.sam("remote", "invoke", "TokenFunction", "--stack-name", STACK, user=on_call.key)


def test_the_operator_function_may_redrive_a_dead_letter(broker: Deployed, on_call: OnCall) -> None:
    phone = broker.signed_in()
    with broker.without_rights("Cleanup"):
        broker.delete_row(phone)
        broker.send_dead_letter(phone)
        answer = on_call.ask("redrive", limit=10)
    assert answer == {
        "redriven": 1,
        "kept": 0,
        "lost": 0,
        "secrets_deleted": 1,
        "secrets_not_deleted": 0,
        "in_queue": 0,
    }
    assert broker.secrets_of_sessions() == set()


def test_the_operator_function_may_do_all_that_it_offers(broker: Deployed, on_call: OnCall) -> None:
    phone = broker.signed_in()
    session = session_reference(phone.session_id)
    assert on_call.ask("session", session=session)["status"] == "active"
    assert on_call.ask("revoke", session=session)["ended_now"] is True
    assert broker.secrets_of_sessions() == set()
    broker.signed_in(scope=SCOPE)
    assert on_call.ask("sessions", user=USER)["live"] == 1
    assert on_call.ask("count")["live"] >= 1
    assert on_call.ask("revoke", user=USER)["ended"] == 1
    assert on_call.ask("forget", user=USER)["forgotten"] is True
    assert broker.secrets_of_sessions() == set()
    phones = [broker.signed_in() for _ in range(3)]
    assert on_call.ask("revoke_all", everyone=True)["finished"] is True
    assert broker.secrets_of_sessions() == set()
    assert {phone.refresh().json["error"] for phone in phones} == {"invalid_grant"}


# The purposes of the seals that a function may make, and of those that it may open.
SEALS = {"Callback": ["row"]} | {name: ["escrow", "row"] for name in ("Token", "Refresh", "Backend")}
OPENS = {name: ["escrow", "row"] for name in ("Token", "Refresh", "Revoke", "Sessions", "Backend")}
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


def allowed(call: Callable[..., object], *arguments: object) -> bool:
    try:
        call(*arguments)
    except ServiceUnavailable as failure:
        if failure.reason != "kms:AccessDeniedException":
            raise
        return False
    return True


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_seals_and_opens_for_its_own_purposes_alone(broker: Deployed, function: str) -> None:
    key, kms = broker.resources["Key"], broker.kms_like(function)
    roots, own = Seal(lambda: broker.account.client("kms"), key), Seal(lambda: kms, key)
    row = SignIn("session", "active", 0, client_id="app")
    secret = SessionSecret(Secret("key"), "holder", Secret("access"), None, 0, "scope")
    escrow, in_row = (roots.sealing(row, secret, purpose).sealed() for purpose in ("escrow", "row"))
    sealed = replace(row, escrow=escrow, sealed=in_row)
    seals = {purpose: own.sealing(row, secret, purpose).sealed for purpose in PURPOSES}
    assert [purpose for purpose in PURPOSES if allowed(seals[purpose])] == SEALS.get(function, [])
    assert [purpose for purpose in PURPOSES if allowed(own.open, sealed, purpose)] == OPENS.get(function, [])
    # Each of these differs in one member from a context that a role may have.
    context = {"purpose": "row", "session": "digest", "client_id": "app", "fence": "0", "part": "1/1"}
    incomplete = [{name: context[name] for name in context if name != missing} for missing in ("session", "fence")]
    for wrong in (context | {"purpose": "other"}, context | {"more": "x"}, *incomplete, {}):
        with pytest.raises(ClientError, match="AccessDenied"):
            kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=wrong)


def reasons(broker: Deployed, stack: str) -> str:
    """Return CloudFormation's reasons for failures of the stack, as `sam deploy` shows them."""
    pages = broker.account.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
    events = [event for page in pages for event in page["StackEvents"]]
    return "\n".join(event.get("ResourceStatusReason", "") for event in events)


UNUSABLE = {
    "a custom scheme without a dot": (
        {"app": {"redirect_uris": ["myapp:/cb"], "scopes": ["read"]}},
        "app 'app': redirect_uris has 'myapp:/cb', which is not allowed: a custom scheme needs a dot",
    ),
    "a member that is misspelt": (
        {"app": {"redirect_uris": ["https://app.example.com/cb"], "scope": ["read"]}},
        "app 'app': unknown member 'scope'",
    ),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_unusable_apps_are_rolled_back_before_any_request_meets_them(broker: Deployed, kind: str) -> None:
    functions, name = broker.account.client("lambda"), broker.resources["AuthorizeFunction"]
    before = functions.get_function_configuration(FunctionName=name)
    served = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    apps, why = UNUSABLE[kind]
    with pytest.raises(SamFailed):
        broker.deploy(Apps=json.dumps(apps))
    assert why in reasons(broker, STACK)
    assert functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"] == served
    assert functions.get_function_configuration(FunctionName=name)["Environment"] == before["Environment"]
    phone = broker.signed_in()
    assert phone.revoke().status == 200


def test_a_first_deployment_that_is_refused_leaves_no_table_and_no_key(broker: Deployed) -> None:
    tables, keys = broker.dynamodb.list_tables()["TableNames"], broker.account.client("kms").list_keys()["Keys"]
    apps, why = UNUSABLE["a member that is misspelt"]
    with pytest.raises(SamFailed):
        broker.account.deploy("refused", broker.parameters | {"Apps": json.dumps(apps)})
    assert why in reasons(broker, "refused")
    assert broker.dynamodb.list_tables()["TableNames"] == tables
    assert broker.account.client("kms").list_keys()["Keys"] == keys


def test_an_import_that_warns_fails_a_deployment_that_asks_for_it(broker: Deployed) -> None:
    """SAM writes a server without a URL. API Gateway warns of it, so the template must not ask for FailOnWarnings."""
    api = {
        "Type": "AWS::ApiGatewayV2::Api",
        "Properties": {"Body": {"openapi": "3.0.1", "servers": [{}], "paths": {}}, "FailOnWarnings": True},
    }
    template = json.dumps({"Resources": {"Api": api}})
    broker.account.client("cloudformation").create_stack(StackName="warned", TemplateBody=template)
    assert eventually(lambda: ".servers.url is missing" in reasons(broker, "warned"))


def test_the_first_day_goes_well_as_far_as_this_aws_decides_it(broker: Deployed, on_call: OnCall) -> None:
    """The numbers are those of docs/deploy.md. API Gateway and CloudWatch, absent here, decide the other steps."""
    functions = broker.account.client("lambda")
    # 1.
    assert functions.get_account_settings()["AccountLimit"]["ConcurrentExecutions"] >= 100
    # 2.
    checks = {check["name"]: check for check in on_call.ask("check")["checks"]}
    assert checks["concurrency"]["ok"], checks
    # 4 and 5.
    phone = broker.signed_in()
    assert [phone.revoke().status, phone.revoke().status] == [200, 200]
    # 6.
    assert '"SecretAccessDenied"' not in broker.account.log.split(session_reference(phone.session_id), 1)[-1]
    # 9.
    mappings = functions.list_event_source_mappings(FunctionName=broker.resources["CleanupFunction"])
    assert [mapping["State"] for mapping in mappings["EventSourceMappings"]] == ["Enabled"]


def test_a_new_token_store_reaches_the_requests_and_needs_no_right_that_a_role_does_not_give(broker: Deployed) -> None:
    functions, name = broker.account.client("lambda"), broker.resources["AuthorizeFunction"]
    before = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    begun = broker.signed_in()
    secrets = broker.secrets_of_sessions()
    broker.deploy(TokenStore="row")
    assert functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"] != before
    served = functions.get_function_configuration(FunctionName=name, Qualifier="live")
    assert served["Environment"]["Variables"]["TOKEN_STORE"] == "row"
    phone = broker.signed_in()
    for function in ("token", "refresh"):
        for session in (begun, phone):
            broker.let_the_grace_pass(session)
            presented = session.refresh_token
            assert session.refresh(function=function).status == 200
            answered = session.access_token
            # The answer was lost.
            assert session.refresh(presented, function=function).json["access_token"] == answered
    # The session that began before has its secret, and the other has none.
    assert broker.secrets_of_sessions() == secrets
    for session, store in ((begun, None), (phone, "row")):
        assert session.revoke().status == 200
        row = broker.row(session.session_id)
        assert row is not None
        assert (row["status"], row.get("token_store"), "sealed" in row) == ("revoked", store, False)
        assert session.refresh().json["error"] == "invalid_grant"
    assert broker.secrets_of_sessions() == set()
