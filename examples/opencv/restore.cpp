// restore NETWORK.onnx BLURRED RESTORED: a network of `deblur export` in OpenCV alone.
//
//   g++ -O2 restore.cpp -o restore -I/usr/include/opencv4 -lopencv_dnn -lopencv_imgcodecs -lopencv_imgproc -lopencv_core
//
// OpenCV 4 takes graphs of one size: deblur export run/ --out network.onnx --size 1280x720 --runtime opencv
#include <iostream>
#include <opencv2/dnn.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

int main(int argc, char **argv) {
    if (argc != 4) {
        std::cerr << "usage: restore NETWORK.onnx BLURRED RESTORED\n";
        return 2;
    }
    try {
        cv::dnn::Net net = cv::dnn::readNetFromONNX(argv[1]);
        cv::Mat picture = cv::imread(argv[2], cv::IMREAD_COLOR);
        if (picture.empty()) {
            std::cerr << argv[2] << ": is no picture\n";
            return 1;
        }
        net.setInput(cv::dnn::blobFromImage(picture, 1.0 / 255.0, cv::Size(), cv::Scalar(), true));  // RGB in 0..1
        std::vector<cv::Mat> results;
        cv::dnn::imagesFromBlob(net.forward(), results);
        cv::Mat codes;
        results[0].convertTo(codes, CV_8U, 255.0);  // rounds, and cuts off at 0 and 255
        cv::cvtColor(codes, codes, cv::COLOR_RGB2BGR);
        return cv::imwrite(argv[3], codes) ? 0 : 1;
    } catch (const cv::Exception &error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
}
