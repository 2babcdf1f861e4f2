"use strict";
require("node:http")
  .get({ port: process.env.PORT, timeout: 1000 }, (response) => process.exit(response.statusCode === 200 ? 0 : 1))
  .on("error", () => process.exit(1));
