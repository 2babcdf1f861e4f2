//! Rules that need more than the file's text: values of variables, base images, the context, what a step made. Who has
//! that runs them, through [`Checks::is_on`](super::Checks::is_on).

use super::Guide;

pub(super) const GUIDES: [(&str, Guide); 7] = [
    (
        "ArgOverridesEnv",
        Guide {
            summary: "An ARG should not hide an ENV of the same name",
            why: "In a `RUN` after both, the value is that of the `ARG`; in the image it is that of the `ENV`. Programs of the build and of the image would see different values.",
            bad: "FROM scratch\nENV MODE=run\nARG MODE=build\n",
            good: "FROM scratch\nARG BUILD_MODE=build\nENV MODE=run\n",
        },
    ),
    (
        "CopyIgnoredFile",
        Guide {
            summary: "COPY and ADD should not name what is ignored",
            why: "What a rule of the ignore file hides is not there for `COPY` and `ADD`. Remove the rule, make an exception of it (`!name`), or do not copy the file. The example has the rule `*.md` in its `.dockerignore`.",
            bad: "FROM scratch\nCOPY README.md /\n",
            good: "FROM scratch\nCOPY main.c /\n",
        },
    ),
    (
        "FromPlatformOfStage",
        Guide {
            summary: "--platform does not change the platform of a stage",
            why: "A `FROM` that starts from a stage goes on with what that stage has made, for the platform of that stage: its files are not made again for another one. Give `--platform` to the `FROM` of the image at the bottom. The example is built on an amd64 machine. This is not one of BuildKit's checks.",
            bad: "FROM debian AS base\nFROM --platform=linux/arm64 base\n",
            good: "ARG BASE_PLATFORM=linux/arm64\nFROM --platform=$BASE_PLATFORM debian AS base\nFROM base\n",
        },
    ),
    (
        "InvalidBaseImagePlatform",
        Guide {
            summary: "The base image should be for the platform that is built",
            why: "When the image is for another platform than the stage, its programs do not run there, or only by emulation. Name the right image, or say by `--platform` what is meant. The example is built on an amd64 machine.",
            bad: "FROM arm64v8/debian\n",
            good: "FROM debian\n",
        },
    ),
    (
        "PackageCacheInLayer",
        Guide {
            summary: "Package lists and caches should not stay in a layer",
            why: "What a package manager has downloaded is of no use in the image, and stays in its layer even if a later instruction removes it. Remove it in the same `RUN`, or keep it out of the image for good, and for the next build, by a cache mount. This is not one of BuildKit's checks.",
            bad: "FROM debian\nRUN apt-get update && apt-get install -y curl\n",
            good: "FROM debian\nRUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
        },
    ),
    (
        "SecretInImage",
        Guide {
            summary: "The value of a secret should not be in the image",
            why: "The value of a `--secret` of this build is found where everybody who can pull the image can read it: in its environment, labels or history, or in a file that a `RUN` with that secret has written. The example is built with `--build-arg TOKEN` of the value of a secret. This is not one of BuildKit's checks.",
            bad: "FROM scratch\nARG TOKEN\nLABEL source=https://$TOKEN@example.org/\n",
            good: "FROM scratch\nLABEL source=https://example.org/\n",
        },
    ),
    (
        "UndefinedVar",
        Guide {
            summary: "Variables should be defined before their use",
            why: "A variable that no `ARG` or `ENV` of the stage or its base defines is empty. Where that is meant, write `${NAME:-}`, or declare it by `ARG NAME`.",
            bad: "FROM scratch\nCOPY $SUORCE /app\n",
            good: "FROM scratch\nARG SOURCE=.\nCOPY $SOURCE /app\n",
        },
    ),
];
