import os

from flask import Flask, jsonify, render_template

app = Flask(__name__)


@app.get("/")
def index():
    return render_template("index.html", name="Slipway")


@app.get("/who")
def who():
    return jsonify(uid=os.getuid(), gid=os.getgid(), cwd=os.getcwd(), home=os.environ.get("HOME"))
