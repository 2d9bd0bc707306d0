from dispatcher import Dispatcher

app = Dispatcher()


@app.job("hello")
async def hello(name: str) -> str:
    return f"Hello, {name}!"
