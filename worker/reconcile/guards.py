"""The guards' verdict on a pass: no PUT leaves before it, and it is given as soon as it is certain."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from worker.core.fleet.guard import COUNTED_FOR, Judge, Tally, WorstCase, refusals, tally
from worker.core.fleet.plan import Plan
from worker.core.fleet.refusal import Refusal
from worker.core.fleet.shards import WHOLE
from worker.core.project.plan import ProjectPlan, meant_of
from worker.core.project.wishes import wishes_of
from worker.reconcile.background import StartTask
from worker.reconcile.ports import PassContext
from worker.reconcile.request import PassRequest


@dataclass(frozen=True, slots=True)
class GuardVerdict:
    """What the guards say of a plan: why they refuse it, if they do and nobody approved it."""

    refusals: tuple[Refusal, ...] = ()
    approved: bool = False


async def ask_guards(request: PassRequest, context: PassContext, plan: Plan) -> GuardVerdict:
    """Judge a plan by what was rejected in the last day; write nothing. Raises JournalError."""
    judge = _judge(request, tally(plan.changes), plan.managed)
    refused = judge(await context.journal.rejections.since(context.now() - COUNTED_FOR))
    approved = bool(refused) and await context.journal.approvals.is_given(plan.digest)
    return GuardVerdict(() if approved else refused, approved)


class Guards:
    """The one barrier of a pass: what was planned waits here until the verdict on all of it is certain.

    That is when all is read, or before, when the guards allow `worst` as far as it is known by then. Other shards might
    use up meanwhile what unread projects may reject, and are not to be kept from it by what nobody may need: of a shard
    the verdict waits for these. `start` begins tasks that end with the pass, and raises their errors of the journal.
    """

    def __init__(self, request: PassRequest, context: PassContext, worst: WorstCase, start: StartTask) -> None:
        self._request = request
        self._context = context
        self._worst = worst
        self._start = start
        self._verdict: asyncio.Future[GuardVerdict] = asyncio.get_running_loop().create_future()
        self._early: asyncio.Task[None] | None = None
        self._is_anything_due = False
        self._reserved: Mapping[str, int] = {}
        self._reserved_at = context.now()

    async def verdict(self) -> GuardVerdict:
        """Wait for the verdict and return it."""
        return await asyncio.shield(self._verdict)

    def take(self, plan: ProjectPlan) -> None:
        """Take the plan of one project into account; allow the pass if that is certain, and there is anything to do."""
        self._worst.take(plan.project.id, plan.changes, plan.managed)
        self._is_anything_due |= bool(plan.changes or plan.in_flight)
        if (
            self._early is None
            and self._is_anything_due
            and not self._context.deadlines.to_submit.is_over
            and self._is_certain()
        ):
            self._early = self._start(self._allow_early())

    async def decide(self, plan: Plan) -> GuardVerdict:
        """Return the verdict on a plan that is to be carried out; it is given here if it was not certain before.

        Raises JournalError.
        """
        if self._early is not None:
            await self._early
        rejects = tally(plan.changes).rejects
        if not self._verdict.done():
            self._verdict.set_result(await self._decide_on_all(plan, rejects))
        elif self._reserved != rejects:
            await self._context.record_or_stop_sending(self._reserve_all(rejects))
        return self._verdict.result()

    def _is_certain(self) -> bool:
        is_alone = self._request.selection.shard == WHOLE
        return self._worst.is_allowed and (is_alone or not self._worst.may_reject_more)

    async def _allow_early(self) -> None:
        """Allow the pass before all is read, unless other shards have used up meanwhile what it takes."""
        rejects = self._worst.read_rejects
        if rejects:
            if await self._reserve(rejects, _judge(self._request, self._worst.most, self._worst.managed)):
                return
            self._reserved = rejects
        self._verdict.set_result(GuardVerdict())

    async def _decide_on_all(self, plan: Plan, rejects: Mapping[str, int]) -> GuardVerdict:
        """Judge the whole plan: reserve what it rejects, and use up its approval if it needs one.

        Of passes that were allowed at the same moment, the later may now be refused. What an approved plan rejects is
        reserved as well, for the other shards to see. A pass that may send nothing any more, or whose sending is held,
        writes nothing, and uses up no approval.
        """
        if self._context.deadlines.to_submit.is_over:
            return await ask_guards(self._request, self._context, plan)
        journal, now = self._context.journal, self._context.now()
        judge = _judge(self._request, tally(plan.changes), plan.managed)
        refused = judge(await journal.rejections.since(now - COUNTED_FOR))
        if rejects and not refused:
            refused = await self._reserve(rejects, judge)
        if not refused or not await journal.approvals.use(plan.digest, self._context.run_id, now):
            return GuardVerdict(refused)
        if rejects:
            await self._reserve(rejects, _allow)
        return GuardVerdict(approved=True)

    async def _reserve_all(self, rejects: Mapping[str, int]) -> None:
        """Reserve what the whole plan rejects, be it sent by now or not, where the verdict came before all was read."""
        await self._reserve(rejects, _allow)

    async def _reserve(self, rejects: Mapping[str, int], judge: Judge) -> tuple[Refusal, ...]:
        at = self._reserved_at
        return await self._context.journal.rejections.reserve(
            rejects, self._context.run_id, at, at - COUNTED_FOR, judge
        )


async def guards_of(request: PassRequest, context: PassContext, managed: Mapping[str, int], start: StartTask) -> Guards:
    """Return the guards of a pass that begins; `managed` counts the shares of the whole manifest by project id.

    Raises JournalError.
    """
    manifest, images = request.manifest, request.selection.images
    wishes = {project_id: wishes_of(manifest, project_id, None) for project_id in request.project_ids}
    meant = {each: replace(wished, of_images=meant_of(wished.of_images, images)) for each, wished in wishes.items()}
    recent = await context.journal.rejections.since(context.now() - COUNTED_FOR)
    return Guards(request, context, WorstCase(meant, managed, recent, request.guard), start)


def _allow(recent: Mapping[str, int]) -> tuple[Refusal, ...]:  # noqa: ARG001 - as every Judge is called
    return ()


def _judge(request: PassRequest, planned: Tally, managed: Mapping[str, int]) -> Judge:
    names = {project.id: project.name for project in request.manifest.projects.values()}
    return lambda recent: refusals(planned, managed, recent, request.guard, names)
