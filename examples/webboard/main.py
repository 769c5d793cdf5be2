"""A board with a web page: microdot on asyncio, and Goldcrest beside it."""

import asyncio
import json
import os

import goldcrest
import look
from microdot import Microdot

app = Microdot()
with open("config.json") as file:  # device-owned: no update touches it
    config = json.load(file)


@app.get("/")
async def page(request):
    return look.PAGE % (look.COLOUR, config["name"], look.VERSION, look.microdot_bytes(os)), {
        "Content-Type": "text/html; charset=utf-8"
    }


async def main():
    asyncio.create_task(goldcrest.task())  # checks in, updates, confirms
    print("serving on port", config["port"])
    await app.start_server(host="127.0.0.1", port=config["port"])


asyncio.run(main())
