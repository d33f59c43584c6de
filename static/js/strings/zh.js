// 页面上的中文。键与 en.js 相同，由测试比较。
export default {
  "nav.views": "视图",
  "nav.run": "运行",
  "nav.tasks": "任务",
  "nav.servers": "服务器",
};
