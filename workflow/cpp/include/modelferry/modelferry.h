#pragma once

#include <modelferry/contract.h>
#include <modelferry/edges.h>
#include <modelferry/errors.h>
#include <modelferry/model.h>
#include <modelferry/scores.h>
#include <modelferry/soa.h>
#include <modelferry/tensors.h>
#include <modelferry/threading.h>
