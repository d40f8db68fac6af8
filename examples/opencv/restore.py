"""python restore.py NETWORK.onnx BLURRED RESTORED: a network of `deblur export` in OpenCV alone."""

import sys

import cv2
import numpy as np

network, blurred, restored = sys.argv[1:]
net = cv2.dnn.readNetFromONNX(network)
picture = cv2.imread(blurred, cv2.IMREAD_COLOR)
net.setInput(cv2.dnn.blobFromImage(picture, 1 / 255, swapRB=True))  # [1, 3, H, W], RGB in 0..1
result = net.forward()[0].transpose(1, 2, 0)[..., ::-1]  # [H, W, 3], BGR
cv2.imwrite(restored, np.clip(255 * result, 0, 255).round().astype(np.uint8))
