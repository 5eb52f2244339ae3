#pragma once
// What nearly every test needs, compiled once: GoogleTest and what the runtime's files need.

#include "runtime/core/Precompiled.h"
#include "runtime/core/PrecompiledJson.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
