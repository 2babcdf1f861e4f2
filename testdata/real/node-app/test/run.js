"use strict";
const assert = require("node:assert");
const { describe } = require("../src/server.js");

assert.strictEqual(describe().day, 86400000);
assert.strictEqual(describe().modern, true);
