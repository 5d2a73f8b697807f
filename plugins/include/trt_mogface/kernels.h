/* The CUDA kernels of trt-mogface, behind a plain C interface.
 *
 * A launcher checks its arguments, starts kernels on the given stream and returns; it allocates nothing, waits for
 * nothing, and the number and shape of its launches follow from its arguments alone, never from what lies in device
 * memory, so that every one of them can be captured in a CUDA graph.  The stream's device has to be the current one.
 *
 * It returns cudaSuccess, the error of a launch, or cudaErrorInvalidValue for an argument it refuses; mogfaceProblem()
 * then names the argument.  Nothing is launched in that case.
 *
 * Coordinates are pixels, x to the right and y down.  What the numbers mean is specified, in numpy, by
 * trt_mogface/reference/select.py, decode.py, anchors.py, nms.py and resize.py; docs/kernels.md has the algorithms.
 */
#ifndef TRT_MOGFACE_KERNELS_H
#define TRT_MOGFACE_KERNELS_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define MOGFACE_API __attribute__((visibility("default")))
#else
#define MOGFACE_API
#endif

/* Changes whenever a structure or a signature of this file does. */
#define MOGFACE_INTERFACE 1

#define MOGFACE_MAX_LEVELS 16
#define MOGFACE_MAX_SIDES 16
#define MOGFACE_MAX_TOP_K 8192
#define MOGFACE_MAX_BATCH 4096

#ifdef __cplusplus
extern "C"
{
#endif

typedef enum MogfaceFormat
{
    MOGFACE_BGR = 0,        /* uint8, blue, green, red side by side */
    MOGFACE_NV12_BT601 = 1, /* luma plane, and a plane of interleaved U and V at half the size; limited range */
    MOGFACE_NV12_BT709 = 2
} MogfaceFormat;

typedef enum MogfaceCoding
{
    MOGFACE_CODING_MOGFACE = 0, /* as trt_mogface.spec.BoxCoding */
    MOGFACE_CODING_SSD = 1,
    MOGFACE_CODING_DISTANCE = 2
} MogfaceCoding;

typedef enum MogfaceType
{
    MOGFACE_FP32 = 0,
    MOGFACE_FP16 = 1
} MogfaceType;

/* A frame and where it lies in the network's input: always from its top left corner, contentHeight rows and
 * contentWidth columns of it (trt_mogface.reference.resize.Placement). */
typedef struct MogfaceFrame
{
    const void* pixels;  /* device memory: BGR, or the luma plane */
    const void* chroma;  /* the plane of U and V; null for BGR */
    int64_t pitch;       /* bytes from one row of pixels to the next */
    int64_t chromaPitch; /* the same of chroma; 0 for BGR */
    double stepX;        /* frame pixels per pixel of the network's input, as cv2.resize computes them */
    double stepY;
    float scale;    /* pixels of the network's input per frame pixel: results are divided by it */
    int32_t format; /* MogfaceFormat */
    int32_t height; /* of the frame, in pixels; even for NV12, as is width */
    int32_t width;
    int32_t contentHeight;
    int32_t contentWidth;
} MogfaceFrame;

/* One level of the feature pyramid: ceil(height / stride) x ceil(width / stride) cells. */
typedef struct MogfaceLevel
{
    int32_t stride;
    int32_t sideCount;
    double sides[MOGFACE_MAX_SIDES]; /* of the square anchors of a cell, in output order */
} MogfaceLevel;

/* How deltas and landmarks become boxes and points. */
typedef struct MogfaceDetector
{
    MogfaceLevel levels[MOGFACE_MAX_LEVELS]; /* finest stride first */
    int32_t levelCount;
    int32_t coding;        /* MogfaceCoding */
    int32_t landmarkCount; /* points of a face; 0 where the network has none */
    float varianceCenter;  /* used by MOGFACE_CODING_SSD alone */
    float varianceSize;
    double center; /* where an anchor sits in its cell, in strides */
} MogfaceDetector;

typedef struct MogfaceThresholds
{
    float score;            /* a candidate's score is greater; within 0..1 */
    float iou;              /* a box goes when its IoU with a better one is greater; within 0..1 */
    int32_t topK;           /* candidates that enter the suppression; at most MOGFACE_MAX_TOP_K */
    int32_t maxDetections;  /* faces of one image, M below; at most topK */
    int32_t inclusiveAreas; /* not 0: areas are (x1 - x0 + 1) * (y1 - y0 + 1) */
    int32_t clip;           /* not 0: boxes end at the frame's edges; needs frames */
} MogfaceThresholds;

/* What the network says of a batch.  A is mogfaceAnchorCount(). */
typedef struct MogfaceOutputs
{
    const void* scores;    /* [N, A] */
    const void* deltas;    /* [N, A, 4] */
    const void* landmarks; /* [N, A, 2 * landmarkCount], or null */
    int32_t type;          /* MogfaceType of the three */
    int32_t batch;         /* N */
    int32_t height;        /* of the network's input, in pixels */
    int32_t width;
} MogfaceOutputs;

/* The best candidates of each image, best first, in pixels of the network's input.  K is thresholds.topK. */
typedef struct MogfaceCandidates
{
    int32_t* counts;  /* [N]; what lies beyond them is not written */
    int32_t* dropped; /* [N]: candidates that are not finite, and scores that are not numbers */
    int32_t* anchors; /* [N, K]: index of the anchor; -1 for a dropped candidate */
    float* boxes;     /* [N, K, 4]: x0, y0, x1, y1; 16-byte aligned */
    float* scores;    /* [N, K] */
    float* landmarks; /* [N, K, 2 * landmarkCount], or null */
} MogfaceCandidates;

/* The faces of each image, best first, in pixels of its frame, or of the network's input where no frames are given. */
typedef struct MogfaceDetections
{
    int32_t* counts;  /* [N]; zeros follow in the arrays below */
    int32_t* dropped; /* [N], or null; written by mogfaceDetect alone */
    float* boxes;     /* [N, M, 4]: x0, y0, x1, y1; 16-byte aligned */
    float* scores;    /* [N, M] */
    float* landmarks; /* [N, M, 2 * landmarkCount], or null */
} MogfaceDetections;

/* The interface this library was built with; compare with MOGFACE_INTERFACE. */
MOGFACE_API int mogfaceInterface(void);

/* Why the last call of this thread was refused, in one line; empty after a call that was not. */
MOGFACE_API const char* mogfaceProblem(void);

/* The name of a CUDA error, and what it means. */
MOGFACE_API const char* mogfaceErrorName(int error);
MOGFACE_API const char* mogfaceErrorText(int error);

/* Whether `pixels` of the arrays below are addresses of the host: true of the emulation that the tests run alone. */
MOGFACE_API int mogfaceRunsOnHost(void);

/* Anchors of a network input: A above. */
MOGFACE_API cudaError_t mogfaceAnchorCount(
    const MogfaceDetector* detector, int height, int width, int64_t* count);

/* Checks frames, which mogfaceLetterbox cannot, because they lie in device memory there. */
MOGFACE_API cudaError_t mogfaceCheckFrames(const MogfaceFrame* frames, int batch, int height, int width);

/* Frames -> the network's input, uint8 [batch, height, width, 3], BGR, overwritten completely.
 *
 * frames: [batch] in device memory, each checked with mogfaceCheckFrames before it went there.
 * pad: blue, green, red beside and below a frame, one byte each from the lowest on.
 *
 * Bilinear, equal to cv2.resize(INTER_LINEAR) on bytes to the last bit; NV12 is converted first, as cv2.cvtColor does.
 */
MOGFACE_API cudaError_t mogfaceLetterbox(const MogfaceFrame* frames, int batch, uint32_t pad, uint8_t* images,
    int height, int width, cudaStream_t stream);

/* Bytes of workspace that the launcher of that name needs. */
MOGFACE_API cudaError_t mogfaceDecodeWorkspace(const MogfaceDetector* detector,
    const MogfaceThresholds* thresholds, int batch, int height, int width, size_t* bytes);
MOGFACE_API cudaError_t mogfaceSelectWorkspace(const MogfaceThresholds* thresholds, int batch, size_t* bytes);
MOGFACE_API cudaError_t mogfaceDetectWorkspace(const MogfaceDetector* detector,
    const MogfaceThresholds* thresholds, int batch, int height, int width, size_t* bytes);

/* Scores above the threshold -> the exact best K of each image, ties by anchor index, decoded. */
MOGFACE_API cudaError_t mogfaceDecode(const MogfaceDetector* detector, const MogfaceThresholds* thresholds,
    const MogfaceOutputs* outputs, const MogfaceCandidates* candidates, void* workspace,
    size_t workspaceBytes, cudaStream_t stream);

/* Candidates -> faces: greedy suppression, then mapped to the frames where frames (device memory, [batch]) is not null.
 * candidates->dropped is not read. */
MOGFACE_API cudaError_t mogfaceSelect(const MogfaceThresholds* thresholds,
    const MogfaceCandidates* candidates, int batch, int landmarkCount, const MogfaceFrame* frames,
    const MogfaceDetections* detections, void* workspace, size_t workspaceBytes, cudaStream_t stream);

/* Both in a row; the candidates stay in the workspace. */
MOGFACE_API cudaError_t mogfaceDetect(const MogfaceDetector* detector, const MogfaceThresholds* thresholds,
    const MogfaceOutputs* outputs, const MogfaceFrame* frames, const MogfaceDetections* detections,
    void* workspace, size_t workspaceBytes, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
