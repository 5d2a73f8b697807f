/* The CUDA kernels of trt-mogface, behind a plain C interface.
 *
 * A launcher checks its arguments, starts kernels on the given stream and returns.  It allocates nothing and waits for
 * nothing.  The number and shape of its launches depend on its arguments only, never on the contents of device memory,
 * so that each can be captured in a CUDA graph.  The stream's device must be the current one.
 *
 * TRT_MOGFACE_LAUNCH in the environment, read at each call, is "plain" or "dependent": the default, or programmatic
 * dependent launches on compute capability 9.0 and later and plain ones elsewhere.
 *
 * It returns cudaSuccess, the error of a launch, or cudaErrorInvalidValue for an argument that it refuses;
 * mogfaceProblem() then names the argument.  Nothing is launched in that case.
 *
 * Coordinates are pixels, x to the right and y down.  The numpy code of trt_mogface/reference is the specification;
 * docs/kernels.md describes the algorithms.
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

/* Changes with every structure and signature of this file. */
#define MOGFACE_INTERFACE 6

#define MOGFACE_MAX_PLANES 3
#define MOGFACE_MAX_LEVELS 16
#define MOGFACE_MAX_SIDES 16
#define MOGFACE_MAX_TOP_K 8192
#define MOGFACE_MAX_BATCH 4096
#define MOGFACE_MAX_BOXES 65535

#ifdef __cplusplus
extern "C"
{
#endif

typedef enum MogfaceFormat
{
    MOGFACE_BGR = 0,  /* one plane: uint8, blue, green, red side by side */
    MOGFACE_NV12 = 1, /* luma; U and V side by side at half the size, rounded up */
    MOGFACE_I420 = 2, /* luma; U; V */
    MOGFACE_P010 = 3  /* as NV12 with uint16: ten bits, in the upper bits */
} MogfaceFormat;

typedef enum MogfaceMatrix
{
    MOGFACE_BT601 = 0,
    MOGFACE_BT709 = 1,
    MOGFACE_BT2020 = 2
} MogfaceMatrix;

typedef enum MogfaceRange
{
    MOGFACE_LIMITED = 0, /* luma 16..235, chroma 16..240 */
    MOGFACE_FULL = 1     /* 0..255 */
} MogfaceRange;

typedef enum MogfaceCoding
{
    MOGFACE_SSD = 0, /* trt_mogface.spec.BoxCoding */
    MOGFACE_DISTANCE = 1
} MogfaceCoding;

typedef enum MogfaceType
{
    MOGFACE_FP32 = 0,
    MOGFACE_FP16 = 1
} MogfaceType;

/* A frame and its position in the network input: the top left corner, contentHeight rows and contentWidth columns
 * (trt_mogface.reference.resize.Placement). */
typedef struct MogfaceFrame
{
    const void* planes[MOGFACE_MAX_PLANES]; /* device memory; null beyond those of the format */
    int64_t pitches[MOGFACE_MAX_PLANES];    /* bytes from one row of a plane to the next */
    double stepX;                           /* frame pixels per network pixel, as cv2.resize computes them */
    double stepY;
    float scaleX; /* network pixels per frame pixel: coordinates are divided by it */
    float scaleY;
    int32_t format; /* MogfaceFormat */
    int32_t matrix; /* MogfaceMatrix; of YUV formats, as is range */
    int32_t range;  /* MogfaceRange */
    int32_t height; /* of the frame, in pixels */
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
    int32_t inclusive;     /* not 0: corners are pixel centers, a box is x1 - x0 + 1 wide */
    int32_t spread;        /* not 0: anchors are spread evenly over the image, and no larger */
    int32_t landmarkCount; /* points of a face; 0 if the network has none */
    float varianceCenter;  /* used by MOGFACE_SSD only */
    float varianceSize;
    double center; /* position of an anchor in its cell, in strides */
} MogfaceDetector;

typedef struct MogfaceThresholds
{
    float score;            /* a candidate's score is greater; within 0..1 */
    float iou;              /* a box is dropped if its IoU with a better one is greater; within 0..1 */
    int32_t topK;           /* candidates that enter the suppression; at most MOGFACE_MAX_TOP_K */
    int32_t maxDetections;  /* faces of one image, M below; at most topK */
    int32_t inclusiveAreas; /* not 0: areas are (x1 - x0 + 1) * (y1 - y0 + 1) */
    int32_t cut;            /* not 0: boxes are cut at the content's edges before the suppression */
    int32_t clip;           /* not 0: boxes are cut at the frame's edges after it; needs frames */
} MogfaceThresholds;

/* The network's outputs for a batch.  A is mogfaceAnchorCount(). */
typedef struct MogfaceOutputs
{
    const void* scores;    /* [N, A] */
    const void* deltas;    /* [N, A, 4] */
    const void* landmarks; /* [N, A, 2 * landmarkCount], or null */
    int32_t type;          /* MogfaceType of the three */
    int32_t batch;         /* N */
    int32_t height;        /* of the network input, in pixels */
    int32_t width;
} MogfaceOutputs;

/* The best candidates of each image, best first, in pixels of the network input.  K is thresholds.topK. */
typedef struct MogfaceCandidates
{
    int32_t* counts;  /* [N]; rows beyond them are not written */
    int32_t* dropped; /* [N]: candidates that are not finite, and scores that are not numbers */
    int32_t* anchors; /* [N, K]: index of the anchor; -1 for a dropped candidate */
    float* boxes;     /* [N, K, 4]: x0, y0, x1, y1; 16-byte aligned */
    float* scores;    /* [N, K] */
    float* landmarks; /* [N, K, 2 * landmarkCount], or null */
} MogfaceCandidates;

/* The faces of each image, best first, in pixels of its frame, or of the network input without frames. */
typedef struct MogfaceDetections
{
    int32_t* counts;  /* [N]; zeros follow in the arrays below */
    int32_t* dropped; /* [N], or null; written by mogfaceDetect only */
    float* boxes;     /* [N, M, 4]: x0, y0, x1, y1; 16-byte aligned */
    float* scores;    /* [N, M] */
    float* landmarks; /* [N, M, 2 * landmarkCount], or null */
} MogfaceDetections;

/* How the faces of a further pass, over reduced copies of the images, are merged with those of a finer one
 * (trt_mogface.reference.passes).  Areas are in square pixels of the finer pass's network input. */
typedef struct MogfaceMerging
{
    float large;   /* area from which the further pass overrules */
    float visible; /* area of the smallest face that it can see */
    double
        largestFace; /* images take part whose content's shorter side is greater, in pixels of the network input */
} MogfaceMerging;

/* Outputs of a network of a cascade for up to C candidates of each of N images (trt_mogface.reference.stages). */
typedef struct MogfaceCascadeOutputs
{
    float* scores;    /* [N, C] */
    float* offsets;   /* [N, C, 4], or [N, 4, C] if planar */
    float* landmarks; /* [N, C, 10]; null but for the last network */
    int32_t* counts;  /* [N]: candidates of an image; null: C */
    int32_t batch;    /* N */
    int32_t capacity; /* C */
    int32_t planar;
} MogfaceCascadeOutputs;

typedef struct MogfaceCascadeThresholds
{
    double overlap; /* a box is dropped if its overlap with a better one is greater; within 0..1 */
    float score;    /* a candidate's score is greater; within 0..1 */
    int32_t limit;  /* candidates that enter the suppression; at most MOGFACE_MAX_TOP_K */
} MogfaceCascadeThresholds;

/* Windows that the first network of a cascade accepts, in T places for each image; empty places have the score 0. */
typedef struct MogfaceWindows
{
    double* boxes;    /* [N, T, 4]: x0, y0, x1, y1; 16-byte aligned */
    float* scores;    /* [N, T] */
    float* offsets;   /* [N, T, 4] */
    int32_t capacity; /* T */
} MogfaceWindows;

/* Boxes that the next network of a cascade looks at, best first, R for each image. */
typedef struct MogfaceCrops
{
    int32_t* counts;  /* [N] */
    int32_t* boxes;   /* [N, R, 4]: x0, y0, x1, y1, the last two exclusive, for mogfaceResample */
    int32_t* indices; /* [N, R]: the image; -1 beyond the count */
    double* inside;   /* [N, R, 4]: the boxes cut at the edges of the image; 16-byte aligned */
    int32_t capacity; /* R */
} MogfaceCrops;

/* Candidates of each image that were left out. */
typedef struct MogfaceTallies
{
    int32_t* dropped;   /* [N]: not finite */
    int32_t* truncated; /* [N]: beyond a limit */
} MogfaceTallies;

/* MOGFACE_INTERFACE of this library. */
MOGFACE_API int mogfaceInterface(void);

/* Reason for which the last call of this thread was refused, in one line; empty if it was not. */
MOGFACE_API const char* mogfaceProblem(void);

/* Name and description of a CUDA error. */
MOGFACE_API const char* mogfaceErrorName(int error);
MOGFACE_API const char* mogfaceErrorText(int error);

/* Whether addresses are those of host memory: true of the emulation of the tests only. */
MOGFACE_API int mogfaceRunsOnHost(void);

/* Version of CUDA that this library was built with, 1000 * major + 10 * minor; 0 for the emulation.  The driver must
 * support its major version.  Asks no driver. */
MOGFACE_API int mogfaceCudaVersion(void);

/* Number of anchors of a network input: A above. */
MOGFACE_API cudaError_t mogfaceAnchorCount(
    const MogfaceDetector* detector, int height, int width, int64_t* count);

/* Checks frames in host memory, before they are copied to device memory for the launchers below. */
MOGFACE_API cudaError_t mogfaceCheckFrames(const MogfaceFrame* frames, int batch, int height, int width);

/* Frames -> the network input, uint8 [batch, height, width, 3], BGR, overwritten completely.
 *
 * frames: [batch] in device memory, each checked with mogfaceCheckFrames.
 * pad: blue, green, red right of and below a frame, one byte each from the lowest on.
 *
 * Bilinear, equal to cv2.resize(INTER_LINEAR) on bytes bit for bit; YUV is converted first (trt_mogface.reference.color).
 */
MOGFACE_API cudaError_t mogfaceLetterbox(const MogfaceFrame* frames, int batch, uint32_t pad, uint8_t* images,
    int height, int width, cudaStream_t stream);

/* Boxes of frames -> images of one size, uint8 [count, height, width, 3], BGR, overwritten completely.
 *
 * frames: [batch] in device memory, each checked with mogfaceCheckFrames; positions in the network input are not read.
 * boxes: int32 [count, 4] in device memory: x0, y0, x1, y1 in pixels of the frame, the last two exclusive, black where
 * they lie outside; null: whole frames.
 * indices: int32 [count] in device memory: the frame of each box; null: box i is of frame i, and count is batch.
 * tallRowsFirst: not 0: the order of Pillow 13 and later, which makes rows before columns where a box loses more than
 * twice as many rows as columns.  Others make columns first.
 *
 * Images of an index that is not one of the frames', or of a box with a side that is not within 1..65536, become black.
 *
 * Antialiased bilinear, equal to resize(BILINEAR) of Pillow byte for byte; YUV is converted first.  The specification is
 * trt_mogface.reference.resample. */
MOGFACE_API cudaError_t mogfaceResample(const MogfaceFrame* frames, int batch, const int32_t* boxes,
    const int32_t* indices, int count, int tallRowsFirst, uint8_t* images, int height, int width,
    cudaStream_t stream);

/* Bytes of workspace that the launcher of this name needs. */
MOGFACE_API cudaError_t mogfaceDecodeWorkspace(const MogfaceDetector* detector,
    const MogfaceThresholds* thresholds, int batch, int height, int width, size_t* bytes);
MOGFACE_API cudaError_t mogfaceSelectWorkspace(const MogfaceThresholds* thresholds, int batch, size_t* bytes);
MOGFACE_API cudaError_t mogfaceMergeWorkspace(
    const MogfaceThresholds* thresholds, int batch, int landmarkCount, size_t* bytes);
MOGFACE_API cudaError_t mogfaceDetectWorkspace(const MogfaceDetector* detector,
    const MogfaceThresholds* thresholds, int batch, int height, int width, size_t* bytes);

/* Scores above the threshold -> the exact best K of each image, ties by anchor index, decoded.
 *
 * frames: [batch] in device memory, whose contents thresholds->cut cuts at; null cuts at the network input. */
MOGFACE_API cudaError_t mogfaceDecode(const MogfaceDetector* detector, const MogfaceThresholds* thresholds,
    const MogfaceOutputs* outputs, const MogfaceFrame* frames, const MogfaceCandidates* candidates,
    void* workspace, size_t workspaceBytes, cudaStream_t stream);

/* Candidates -> faces: greedy suppression, then, with frames ([batch] in device memory), pixels of these.
 * candidates->dropped is not read. */
MOGFACE_API cudaError_t mogfaceSelect(const MogfaceThresholds* thresholds,
    const MogfaceCandidates* candidates, int batch, int landmarkCount, const MogfaceFrame* frames,
    const MogfaceDetections* detections, void* workspace, size_t workspaceBytes, cudaStream_t stream);

/* Both in a row; the candidates stay in the workspace. */
MOGFACE_API cudaError_t mogfaceDetect(const MogfaceDetector* detector, const MogfaceThresholds* thresholds,
    const MogfaceOutputs* outputs, const MogfaceFrame* frames, const MogfaceDetections* detections,
    void* workspace, size_t workspaceBytes, cudaStream_t stream);

/* Faces of a further pass -> merged with those of the finer one in `detections`, both best first and in pixels of the
 * frame (trt_mogface.reference.merge).
 *
 * frames: [batch] in device memory, of the first pass.
 * further: not changed; its dropped candidates are added to those of `detections`, where these are not null.
 * thresholds->topK limits the faces of both passes that enter the suppression. */
MOGFACE_API cudaError_t mogfaceMerge(const MogfaceThresholds* thresholds, const MogfaceMerging* merging,
    const MogfaceDetections* further, int batch, int landmarkCount, const MogfaceFrame* frames,
    const MogfaceDetections* detections, void* workspace, size_t workspaceBytes, cudaStream_t stream);

/* Bytes of workspace that each of the three launchers below needs for up to `capacity` candidates and a limit. */
MOGFACE_API cudaError_t mogfaceCascadeWorkspace(int batch, int capacity, int limit, size_t* bytes);

/* Outputs of the first network for a pyramid level -> windows, suppressed within the level, best first.
 *
 * Candidates are cells, row by row, of a grid with `columns` columns; scale is that of the level.
 * first: the level's first place; it takes as many as the limit or the number of cells, and overwrites all of them.  The
 * level whose first place is 0 sets the tallies, and others add to them. */
MOGFACE_API cudaError_t mogfaceCascadeWindows(const MogfaceCascadeOutputs* outputs, int columns, double scale,
    const MogfaceCascadeThresholds* thresholds, const MogfaceWindows* windows, int first,
    const MogfaceTallies* tallies, void* workspace, size_t workspaceBytes, cudaStream_t stream);

/* Outputs of the first or second network -> boxes to be cropped for the next: suppressed, calibrated, made square.
 *
 * boxes: [N, C, 4] of the candidates, 16-byte aligned.
 * height, width: of the images, in pixels. */
MOGFACE_API cudaError_t mogfaceCascadeBoxes(const MogfaceCascadeOutputs* outputs, const double* boxes,
    const MogfaceCascadeThresholds* thresholds, int height, int width, const MogfaceCrops* crops,
    const MogfaceTallies* tallies, void* workspace, size_t workspaceBytes, cudaStream_t stream);

/* Outputs of the third network -> faces: calibrated, then suppressed by the overlap with the smaller of two boxes.
 *
 * boxes: as above.
 * frames: [N] in device memory, whose pixels coordinates become; null: those of the images.
 * detections->dropped: added to. */
MOGFACE_API cudaError_t mogfaceCascadeFaces(const MogfaceCascadeOutputs* outputs, const double* boxes,
    const MogfaceCascadeThresholds* thresholds, int maxDetections, const MogfaceFrame* frames,
    const MogfaceDetections* detections, void* workspace, size_t workspaceBytes, cudaStream_t stream);

/* Outputs of a part of the candidates -> rows from `first` on of those of all images; both are not planar. */
MOGFACE_API cudaError_t mogfaceCascadeGather(
    const MogfaceCascadeOutputs* part, int first, const MogfaceCascadeOutputs* all, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
