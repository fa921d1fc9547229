"""Drafts an announcement and has a person review it."""

from countersign import Agent

app = Agent(node_id="{{name}}", version="0.1.0")


@app.function()
async def announce(brief: str) -> dict[str, str]:
    """Drafts an announcement, and returns it with what the reviewer decided."""
    text = await app.ai(system="You write short, friendly announcements.", user=brief)
    # Here it may wait for days. The host may stop meanwhile; the model is not asked again.
    review = await app.pause("review", title="Publish this?", payload={"text": text})
    return {"status": review.decision, "text": text}


app.run()
